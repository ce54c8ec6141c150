import { createHash } from 'node:crypto';
import { type OutgoingRecord, openProducer } from '@weir/connect-kafka';
import { createLogger } from '@weir/observe';
import {
  type DeadLetter,
  deadLetterHeaders,
  ENVELOPE_CODEC,
  encodeEnvelope,
  envelopePrefix,
  partitionOf,
} from '@weir/reading';
import type { Isolated } from '@weir/testkit';
import { EXCHANGES, kafkaTopology, QUEUES, READINGS_PARTITIONS, RECORD_HEADERS } from '@weir/topology';
import { type ConfirmChannel, connect } from 'amqplib';

/** Letters of one reason and site. */
export interface LetterGroup {
  readonly reason: DeadLetter['reason'];
  readonly site: string;
  readonly devices: number;
  readonly count: number;
}

/** A letter as it was made; what any index of it must say. */
export interface MadeLetter {
  readonly group: LetterGroup;
  /** Null for one of RabbitMQ: it has none. */
  readonly id: string | null;
  readonly device: string;
  readonly bytes: Buffer;
  /** Epoch milliseconds of the reading inside. */
  readonly ts: number;
}

/** Reasons for which RabbitMQ itself buries; all others come through the dead-letter topic. */
const BY_RABBITMQ: ReadonlySet<string> = new Set(['rejected', 'expired', 'maxlen', 'delivery-limit']);
/** Bytes that the edge refused, as the device sent them; the others are lines of the readings log. */
const BY_EDGE: ReadonlySet<string> = new Set(['decode', 'schema', 'range', 'clock-skew']);

/** 100,000 letters of 12 reasons over both brokers; those of `plant-7` are 1,234. */
export const HUNDRED_THOUSAND: readonly LetterGroup[] = [
  { reason: 'decode', site: 'plant-1', devices: 40, count: 9_000 },
  { reason: 'schema', site: 'plant-1', devices: 200, count: 12_000 },
  { reason: 'range', site: 'plant-2', devices: 30, count: 6_000 },
  { reason: 'clock-skew', site: 'plant-2', devices: 300, count: 8_000 },
  { reason: 'late', site: 'plant-3', devices: 500, count: 15_000 },
  { reason: 'sink-data', site: 'plant-3', devices: 20, count: 3_000 },
  { reason: 'sink-unavailable', site: 'plant-4', devices: 400, count: 9_766 },
  { reason: 'sink-unavailable', site: 'plant-7', devices: 100, count: 1_234 },
  { reason: 'timeout', site: 'plant-4', devices: 100, count: 6_000 },
  { reason: 'rejected', site: 'plant-5', devices: 50, count: 8_000 },
  { reason: 'expired', site: 'plant-5', devices: 50, count: 8_000 },
  { reason: 'maxlen', site: 'plant-6', devices: 50, count: 8_000 },
  { reason: 'delivery-limit', site: 'plant-6', devices: 50, count: 6_000 },
];

/** The same mixture, smaller: `of` letters of every hundred thousand, at least one of each group. */
export const smaller = (of: number): LetterGroup[] =>
  HUNDRED_THOUSAND.map((group) => ({
    ...group,
    count: Math.max(1, Math.round((group.count * of) / 100_000)),
  }));

function payloadOf(reason: DeadLetter['reason'], ts: number, seq: number, value: number): string {
  if (reason === 'decode') return `{"ts":${ts},"seq":${seq},"value":${value}`;
  if (reason === 'schema') return `{"ts":${ts},"seq":${seq},"value":"${value}"}`;
  if (reason === 'range') return `{"ts":${Math.floor(ts / 1_000)},"seq":${seq},"value":${value}}`;
  return `{"ts":${ts},"seq":${seq},"value":${value}}`;
}

/**
 * The letters of these groups, in their order; the same each time.
 * @param start epoch milliseconds of the first reading; each following one of a device is a second later
 */
export function* makeLetters(groups: readonly LetterGroup[], start: number): Generator<MadeLetter> {
  for (const [g, group] of groups.entries()) {
    const { reason, site } = group;
    for (let n = 0; n < group.count; n++) {
      const device = `${reason}-${String(n % group.devices).padStart(3, '0')}`;
      const seq = Math.floor(n / group.devices);
      const ts = start + seq * 1_000;
      const value = (n % 1_000) / 8;
      const payload = Buffer.from(payloadOf(reason, ts, seq, value));
      const byRabbitmq = BY_RABBITMQ.has(reason);
      const bytes = byRabbitmq
        ? Buffer.from(`{"device":"${device}","ts":${ts},"seq":${seq},"value":${value},"at":${ts}}\n`)
        : BY_EDGE.has(reason)
          ? payload
          : encodeEnvelope(
              envelopePrefix({ edge: 'generator/s1', site, device, via: 'mqtt' }),
              { n: g * 1_000_000 + n, at: ts + 5, qos: 1, mid: (n % 65_535) + 1 },
              payload,
            );
      const id = createHash('sha256').update(`${g}/${n}`).digest('hex').slice(0, 32);
      yield { group, id: byRabbitmq ? null : id, device, bytes, ts };
    }
  }
}

const STAGES: Readonly<Record<string, string>> = {
  late: 'fold-records',
  'sink-data': 'forward-kafka',
  'sink-unavailable': 'write-windows',
  timeout: 'write-windows',
};

function recordOf({ id, group, device, bytes, ts }: MadeLetter, n: number, topic: string): OutgoingRecord {
  const { reason, site } = group;
  const edge = BY_EDGE.has(reason);
  const at = Date.now();
  const partition = partitionOf(device, READINGS_PARTITIONS);
  const place = { kafka: { topic, partition, offset: String(n), group: 'weir.aggregator' } };
  const letter = deadLetterHeaders({
    id: id as string,
    reason,
    stage: STAGES[reason] ?? 'decode-payload',
    errorClass: edge ? 'data' : 'Generated',
    errorMessage: `${reason} of reading ${n} of "${device}"`,
    firstFailedAt: at,
    lastFailedAt: at,
    originSystem: edge ? 'mqtt' : 'kafka',
    origin: edge ? `telemetry/v1/${site}/${device}` : topic,
    originalTimestamp: ts,
    retryable: !edge,
    replayCount: 0,
    ...(edge || reason === 'sink-data' ? {} : place),
    ...(reason === 'late' ? { readings: [0] } : {}),
  });
  return {
    partition: partitionOf(device, 3),
    key: Buffer.from(device),
    value: bytes,
    timestamp: at,
    headers: edge ? letter : { ...letter, [RECORD_HEADERS.codec]: ENVELOPE_CODEC },
  };
}

const BATCH = 2_000;

async function publishKafka(space: Isolated, letters: readonly MadeLetter[]): Promise<void> {
  const { deadLetters, readings } = kafkaTopology(space.namespace);
  const log = createLogger({ app: 'test', level: 'error', format: 'json' });
  const producer = openProducer({ brokers: space.brokers, clientId: 'letters', log });
  try {
    for (let at = 0; at < letters.length; at += BATCH) {
      const part = letters.slice(at, at + BATCH);
      await producer.send(
        deadLetters.name,
        part.map((letter, i) => recordOf(letter, at + i, readings.name)),
      );
    }
  } finally {
    await producer.close();
  }
}

/** Queues that bury at once, each for a reason of its own. */
const BURIERS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  expired: { 'x-message-ttl': 0 },
  maxlen: { 'x-max-length': 0 },
  rejected: {},
  'delivery-limit': { 'x-queue-type': 'quorum', 'x-delivery-limit': 0 },
};

/** RabbitMQ's own dead-lettering writes the headers, so they are what they are. */
async function publishRabbitmq(space: Isolated, letters: readonly MadeLetter[]): Promise<void> {
  const connection = await connect(space.rabbitmqUrl);
  try {
    for (const reason of new Set(letters.map(({ group }) => group.reason))) {
      const channel = await connection.createConfirmChannel();
      const queue = `generator.${reason}`;
      await channel.assertQueue(queue, {
        durable: true,
        arguments: {
          ...BURIERS[reason],
          'x-dead-letter-exchange': EXCHANGES.deadLetters.name,
          'x-dead-letter-routing-key': QUEUES.alerterTelemetry.name,
        },
      });
      const mine = letters.filter(({ group }) => group.reason === reason);
      const refused = refuseAll(channel, queue, reason, mine.length);
      for (let at = 0; at < mine.length; at += BATCH) {
        for (const letter of mine.slice(at, at + BATCH)) send(channel, queue, letter);
        await channel.waitForConfirms();
      }
      await refused;
      await channel.close();
    }
  } finally {
    await connection.close();
  }
}

function send(channel: ConfirmChannel, queue: string, { group, bytes }: MadeLetter): void {
  channel.publish('', queue, bytes, {
    persistent: true,
    contentType: 'application/x-ndjson',
    headers: { site: group.site, metric: 'value', class: 'normal', count: 1 },
  });
}

/** Resolves when `count` messages were refused; at once for a queue that buries by itself. */
async function refuseAll(
  channel: ConfirmChannel,
  queue: string,
  reason: string,
  count: number,
): Promise<void> {
  if (reason !== 'rejected' && reason !== 'delivery-limit') return;
  const done = Promise.withResolvers<void>();
  let left = count;
  await channel.prefetch(500);
  await channel.consume(queue, (message) => {
    if (message === null) return done.reject(new Error(`queue ${queue} is gone`));
    channel.nack(message, false, reason === 'delivery-limit');
    left--;
    if (left === 0) done.resolve();
  });
  await done.promise;
}

/** Buries letters where their kind is buried: the dead-letter topic, or RabbitMQ's dead-letter exchange. */
export async function publishLetters(space: Isolated, letters: Iterable<MadeLetter>): Promise<void> {
  const all = [...letters];
  await publishKafka(
    space,
    all.filter(({ id }) => id !== null),
  );
  await publishRabbitmq(
    space,
    all.filter(({ id }) => id === null),
  );
}
