import { randomUUID } from 'node:crypto';
import { type OutgoingRecord, openProducer } from '@weir/connect-kafka';
import { type OutgoingMessage, openPublisher } from '@weir/connect-rabbitmq';
import type { DeadLetterReason } from '@weir/flow';
import { createLogger } from '@weir/observe';
import {
  type DeadLetter,
  deadLetterHeaders,
  ENVELOPE_CODEC,
  encodeEnvelope,
  envelopePrefix,
  partitionOf,
} from '@weir/reading';
import { atEnd, type Isolated, type Scope } from '@weir/testkit';
import { kafkaTopology, QUEUES, RECORD_HEADERS } from '@weir/topology';
import type { KnownReading } from './recompute.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const PAYLOAD_REASONS = ['decode', 'schema', 'range', 'clock-skew', 'rejected'] as const;
const QUEUE_REASONS = ['delivery-limit', 'expired', 'maxlen', 'poison', 'timeout'] as const;
export const CONSUMER_QUEUE = QUEUES.alerterTelemetry.name;

/** How many letters of each kind; each device has one reading for each letter about it. */
export interface LetterCounts {
  /** Payloads that an edge refused, of five reasons. */
  readonly payloads: number;
  /** Lines that Kafka refused: sink-data. */
  readonly lines: number;
  /** Readings that the aggregator finds too late. */
  readonly late: number;
  /** Messages that a consumer of RabbitMQ gave up, of five reasons unless `reason` names one. */
  readonly messages: number;
  readonly reason?: DeadLetterReason;
}

/** What a test knows of what it buried. */
export interface Buried {
  /** Readings that are in windows once their letters are replayed. */
  readonly readings: KnownReading[];
  /** Readings that were stored at once: those that the late ones came behind. */
  readonly stored: KnownReading[];
  /** Messages of RabbitMQ by the id of their letter. */
  readonly messages: Map<string, Buffer>;
}

/** Writes dead letters to both brokers, as the edge, the aggregator and RabbitMQ leave them. */
export class LetterWriter {
  readonly #space: Isolated;
  readonly #producer;
  readonly #publisher;
  readonly #seqs = new Map<string, number>();
  #n = 0;

  constructor(scope: Scope, space: Isolated) {
    this.#space = space;
    this.#producer = openProducer({ brokers: space.brokers, clientId: 'test', log });
    this.#publisher = openPublisher({ url: space.rabbitmqUrl, name: 'test', log });
    atEnd(scope, async () => {
      await Promise.all([this.#producer.close(), this.#publisher.close()]);
    });
  }

  async bury(site: string, counts: LetterCounts, devices = 20): Promise<Buried> {
    const buried: Buried = { readings: [], stored: [], messages: new Map() };
    const { readings, deadLetters } = kafkaTopology(this.#space.namespace);
    const start = Math.floor(Date.now() / 1_000) * 1_000 - 120_000;
    const next = (index: number, ts: number): KnownReading => {
      const device = `${site}-${index % devices}`;
      const seq = this.#seqs.get(device) ?? 0;
      this.#seqs.set(device, seq + 1);
      return { device, metric: 'value', ts, seq, value: Math.round(Math.sin(seq) * 1e6) / 1e3 };
    };
    const messages: OutgoingMessage[] = [];
    for (let i = 0; i < counts.messages; i++) {
      const reading = next(i, start + i * 7);
      const headers = headersOf({
        reason: counts.reason ?? (QUEUE_REASONS[i % QUEUE_REASONS.length] as DeadLetterReason),
        originSystem: 'rabbitmq',
        origin: CONSUMER_QUEUE,
      });
      // Not UTF-8 at its end: what comes back must be these bytes, and not a text.
      const body = Buffer.concat([
        Buffer.from(`${JSON.stringify(reading)}\n`),
        Buffer.from([0, 0xff, i % 256]),
      ]);
      buried.messages.set(headers['x-dlq-id'] as string, body);
      messages.push({
        exchange: '',
        key: `${CONSUMER_QUEUE}.dlq`,
        body,
        headers: { ...headers, site, metric: 'value', count: 1 },
        contentType: 'application/x-ndjson',
      });
    }
    for (let at = 0; at < messages.length; at += 500)
      await this.#publisher.publish(messages.slice(at, at + 500));
    const letters: OutgoingRecord[] = [];
    for (let i = 0; i < counts.payloads + counts.lines; i++) {
      const reading = next(i, start + i * 7);
      buried.readings.push(reading);
      const payload = payloadOf(reading);
      const isLine = i >= counts.payloads;
      const reason = isLine ? 'sink-data' : (PAYLOAD_REASONS[i % PAYLOAD_REASONS.length] as DeadLetterReason);
      const headers = isLine
        ? headersOf({ reason, originSystem: 'kafka', origin: readings.name })
        : headersOf({ reason, originSystem: 'mqtt', origin: `telemetry/v1/${site}/${reading.device}` });
      letters.push({
        partition: partitionOf(reading.device, readings.partitions) % deadLetters.partitions,
        key: Buffer.from(reading.device),
        value: isLine ? this.#line(site, reading, payload) : payload,
        headers,
      });
    }
    await this.#send(deadLetters.name, letters);
    await this.#late(site, counts.late, devices, next, buried);
    return buried;
  }

  /** Readings of now, and behind them others that are an hour old. */
  async #late(
    site: string,
    count: number,
    devices: number,
    next: (index: number, ts: number) => KnownReading,
    { readings, stored }: Buried,
  ): Promise<void> {
    const { readings: topic } = kafkaTopology(this.#space.namespace);
    const records: OutgoingRecord[] = [];
    const add = (reading: KnownReading): void => {
      const headers = { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: '1' };
      const value = this.#line(site, reading, payloadOf(reading));
      records.push({ partition: partitionOf(reading.device, topic.partitions), value, headers });
    };
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    for (let i = 0; i < Math.min(devices, count); i++) {
      const reading = next(i, now);
      stored.push(reading);
      add(reading);
    }
    for (let i = 0; i < count; i++) {
      const reading = next(i, now - 3_600_000 + i * 7);
      readings.push(reading);
      add(reading);
    }
    await this.#send(topic.name, records);
  }

  #line(site: string, { device }: KnownReading, payload: Buffer): Buffer {
    const prefix = envelopePrefix({ edge: 'edge-1/test', site, device, via: 'mqtt' });
    return encodeEnvelope(prefix, { n: ++this.#n, at: Date.now() }, payload);
  }

  async #send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += 1_000)
      await this.#producer.send(topic, records.slice(at, at + 1_000));
  }
}

const payloadOf = ({ ts, seq, value }: KnownReading): Buffer =>
  Buffer.from(JSON.stringify({ ts, seq, value }));

function headersOf(of: Pick<DeadLetter, 'reason' | 'originSystem' | 'origin'>): Record<string, string> {
  const now = Date.now();
  return deadLetterHeaders({
    ...of,
    id: randomUUID(),
    stage: 'test',
    errorClass: 'data',
    errorMessage: `it was ${of.reason}`,
    firstFailedAt: now,
    lastFailedAt: now,
    originalTimestamp: now,
    retryable: false,
    replayCount: 0,
  });
}
