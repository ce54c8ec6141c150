import { WeirError } from '@weir/flow';
import { CompressionTypes, type Producer as KafkaJsProducer, type Message, Partitioners } from 'kafkajs';
import { atMost, createKafka, SHORT_RETRY, within } from './client.ts';
import { mapError, mapped } from './errors.ts';
import type { OutgoingRecord, Producer, ProducerOptions } from './types.ts';

const CONNECT_DEADLINE_MS = 5_000;
const CLOSE_DEADLINE_MS = 3_000;
/** Time for kafkajs to reconnect or learn of a new leader within one send. */
const SEND_SLACK_MS = 2_000;

/**
 * A producer with acks=all and one request in flight. Idempotence stays off: with it kafkajs can lose an
 * acknowledged record after a lost response (see the architecture page), and consumers recognise resent lines.
 */
export function openProducer(options: ProducerOptions): Producer {
  let live: KafkaJsProducer | null = null;
  let sending = false;
  let closed = false;
  const requestTimeoutMs = options.requestTimeoutMs ?? 30_000;
  const where = options.brokers.join(', ');

  const discard = async (): Promise<void> => {
    const old = live;
    live = null;
    if (old !== null) await atMost(CLOSE_DEADLINE_MS, old.disconnect());
  };

  const connect = async (): Promise<KafkaJsProducer> => {
    if (closed) throw new WeirError('WEIR_STATE', 'fatal', 'the Kafka producer is closed');
    if (live !== null) return live;
    const producer = createKafka(options, SHORT_RETRY).producer({
      allowAutoTopicCreation: false,
      idempotent: false,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    try {
      await within(
        CONNECT_DEADLINE_MS,
        mapped(`connecting to Kafka at ${where}`, () => producer.connect()),
        () =>
          new WeirError(
            'WEIR_CONNECT_FAILED',
            'transient',
            `connecting to Kafka at ${where}: no answer in ${CONNECT_DEADLINE_MS / 1000} s`,
          ),
      );
    } catch (error) {
      producer.disconnect().catch(() => undefined);
      throw error;
    }
    live = producer;
    return producer;
  };

  const write = async (topic: string, records: readonly OutgoingRecord[]): Promise<void> => {
    const producer = await connect();
    const doing = `writing ${records.length} records to topic ${topic}`;
    try {
      // kafkajs repeats a request that got no answer; one wait for a frozen broker is enough.
      const answers = await within(
        requestTimeoutMs + SEND_SLACK_MS,
        producer.send({
          topic,
          acks: -1,
          timeout: requestTimeoutMs,
          compression: options.compression === 'none' ? CompressionTypes.None : CompressionTypes.ZSTD,
          messages: records.map(toMessage),
        }),
        () =>
          new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: no answer in ${requestTimeoutMs / 1000} s`),
      );
      // kafkajs leaves out, without an error, records for a partition that it does not know.
      const written = new Set(answers.map(({ partition }) => partition));
      const missing = new Set(records.map(({ partition }) => partition).filter((p) => !written.has(p)));
      if (missing.size > 0) {
        throw new WeirError(
          'WEIR_REJECTED',
          'transient',
          `${doing}: the topic has no partition ${[...missing].join(', ')}; raise its partition count`,
        );
      }
    } catch (error) {
      const known = mapError(doing, error);
      // A fresh client after any outage: no stale metadata and no half-open socket survives it.
      if (!(known instanceof WeirError) || known.retry !== 'data') await discard();
      throw known;
    }
  };

  return {
    async connect() {
      await connect();
    },
    async send(topic, records) {
      if (records.length === 0) return;
      if (sending) {
        throw new WeirError('WEIR_STATE', 'fatal', `writing to topic ${topic}: a send is already under way`);
      }
      sending = true;
      try {
        await write(topic, records);
      } finally {
        sending = false;
      }
    },
    async close() {
      closed = true;
      await discard();
    },
  };
}

function toMessage({ partition, key, value, headers, timestamp }: OutgoingRecord): Message {
  return {
    partition,
    key: key ?? null,
    value,
    ...(headers === undefined ? {} : { headers }),
    ...(timestamp === undefined ? {} : { timestamp: String(timestamp) }),
  };
}
