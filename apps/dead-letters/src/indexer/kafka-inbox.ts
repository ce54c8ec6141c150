import { type Consumer, type ConsumerHandler, type KafkaRecord, openConsumer } from '@weir/connect-kafka';
import { type OriginReader, readArrival } from '@weir/dead-letters';
import type { AppContext } from '@weir/lifecycle';
import { kafkaTopology } from '@weir/topology';
import type { IndexerEvents } from './events.ts';
import { persisting } from './persist.ts';
import type { Press } from './press.ts';

export interface InboxOptions {
  readonly context: AppContext;
  readonly press: Press;
  readonly readOrigin: OriginReader;
  readonly events: IndexerEvents;
  /** Aborts when nobody waits for what is under way any more. */
  readonly giveUp: AbortSignal;
}

/** Letters of one partition that are in the press at a time. */
const AT_A_TIME = 1_000;

/** The dead-letter topic: its letters into the press, then the group's offset. Kafka keeps its copy. */
export function kafkaInbox({ context, press, readOrigin, events, giveUp }: InboxOptions): Consumer {
  const { config, log } = context;
  const { deadLetters, groups } = kafkaTopology(config.namespace);
  const topic = deadLetters.name;
  const persist = persisting(events, giveUp);

  const take = (partition: number, record: KafkaRecord): Promise<string> => {
    const { offset, timestamp, key, headers, value } = record;
    const found = { in: 'kafka', topic, partition, offset, timestamp } as const;
    const arrival = { found, key, headers, properties: {}, bytes: value };
    return press.add({ letter: readArrival(arrival, readOrigin, Date.now()), mark: null });
  };
  const commit = (partition: number, next: bigint): Promise<unknown> =>
    persist('commit', () => consumer.commit(new Map([[partition, next]])));

  const handler: ConsumerHandler = {
    assigned: () => Promise.resolve(null),
    async batch(partition, records) {
      try {
        for (let at = 0; at < records.length && !giveUp.aborted; at += AT_A_TIME) {
          const part = records.slice(at, at + AT_A_TIME);
          await Promise.all(part.map((record) => take(partition, record)));
          // A partition that has moved is left out of the commit: its new owner reads these again, harmlessly.
          await commit(partition, (part.at(-1) as KafkaRecord).offset + 1n);
        }
      } catch (error) {
        // Nothing is lost: the records are not committed, and the next start begins with them.
        if (!giveUp.aborted) throw error;
      }
    },
    revoked: () => Promise.resolve(),
  };
  const consumer = openConsumer({
    brokers: config.kafka.brokers,
    clientId: 'weir-dead-letters',
    requestTimeoutMs: config.kafka.requestTimeout,
    groupId: groups.deadLetters,
    topic,
    sessionTimeoutMs: config.kafka.sessionTimeout,
    // Letters of one kind compress twentyfold. Measured over 100,000: 596 MiB resident with 256 KiB, 317 MiB with this.
    maxBytesPerPartition: 32 << 10,
    log,
    handler,
    onEvent: events.consumer,
    onFatal: (error) => context.fatal(`reading topic ${topic}`, error),
  });
  return consumer;
}
