import { rateLimited } from '@weir/observe';
import kafkajs, {
  type Consumer,
  Kafka,
  type KafkaConfig,
  type LogEntry,
  logLevel,
  type PartitionAssigner,
  type RetryOptions,
} from 'kafkajs';
import type { ConsumerOptions, KafkaOptions } from './types.ts';
import './quiet-timers.ts';
import './zstd.ts';

/** Longest wait for a TCP connection to one broker. */
export const CONNECT_TIMEOUT_MS = 3_000;

/** Retries within kafkajs, for moves that its own metadata refresh mends; longer outages are the caller's. */
export const SHORT_RETRY: RetryOptions = { retries: 2, initialRetryTime: 50, maxRetryTime: 500, factor: 0.5 };

/** kafkajs writes its own log; here it goes through ours, at most one line of a kind every 10 s. */
function bridgeLog(options: KafkaOptions): NonNullable<KafkaConfig['logCreator']> {
  const limit = rateLimited();
  return () =>
    ({ level, namespace, log }: LogEntry) => {
      // Its "error" is nearly always an attempt that it repeats: a warning by Weir's levels.
      const write = level <= logLevel.WARN ? 'warn' : 'debug';
      limit(`${namespace} ${log.message.slice(0, 40)}`, (suppressed) => {
        options.log[write](
          { kafka: namespace, broker: log.broker as unknown, error: log.error as unknown, suppressed },
          `kafka: ${log.message}`,
        );
      });
    };
}

export function createKafka(options: KafkaOptions, retry: RetryOptions): Kafka {
  return new Kafka({
    brokers: [...options.brokers],
    clientId: options.clientId,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    authenticationTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    enforceRequestTimeout: true,
    retry,
    logLevel: logLevel.WARN,
    logCreator: bridgeLog(options),
    ...(options.socketFactory === undefined ? {} : { socketFactory: options.socketFactory }),
  });
}

/** A kafkajs consumer that hands over batches and leaves every other decision, restarts included, to its session. */
export function createConsumer(
  options: ConsumerOptions,
  rebalanceTimeoutMs: number,
  assigner: PartitionAssigner,
): Consumer {
  const retry: RetryOptions = { retries: 5, initialRetryTime: 50, maxRetryTime: 1_000, factor: 0.5 };
  return createKafka(options, retry).consumer({
    groupId: options.groupId,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: rebalanceTimeoutMs,
    heartbeatInterval: Math.min(1_000, Math.floor(options.sessionTimeoutMs / 4)),
    maxBytesPerPartition: options.maxBytesPerPartition ?? 1 << 20,
    maxBytes: 4 * (options.maxBytesPerPartition ?? 1 << 20),
    minBytes: options.minBytes ?? 64 << 10,
    maxWaitTimeInMs: options.maxWaitMs ?? 100,
    allowAutoTopicCreation: false,
    readUncommitted: true, // nobody writes transactions here, and it spares a filter over every record
    // A group that has members of an earlier version goes on with theirs until the last of them is replaced.
    partitionAssigners: [assigner, kafkajs.PartitionAssigners.roundRobin],
    // Every crash comes to the session; kafkajs never restarts on its own.
    retry: { ...retry, restartOnFailure: () => Promise.resolve(false) },
  });
}

/** Waits for `work` at most `ms`; what is late is left behind, its failure ignored. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

/** Waits for `work` at most `ms`, then rejects with `error()`. */
export async function within<T>(ms: number, work: Promise<T>, error: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(error()), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
