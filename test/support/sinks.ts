import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { openArchive } from '@weir/connect-minio';
import { decodeEnvelope, type Envelope, payloadBytes, splitLines } from '@weir/reading';
import { atEnd, type Isolated, type Scope } from '@weir/testkit';
import { archiveBucket, EXCHANGES, kafkaTopology, LEVELS, type LevelName } from '@weir/topology';
import { connect } from 'amqplib';
import kafkajs from 'kafkajs';
import pg from 'pg';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
// kafkajs leaves this codec to its users.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => promisify(zstdCompress)(buffer),
  decompress: (buffer: Buffer) => promisify(zstdDecompress)(buffer),
});

export interface StoredLine {
  readonly partition: number;
  readonly offset: bigint;
  readonly line: number;
  readonly envelope: Envelope;
  /** The payload as the device sent it. */
  readonly payload: string;
}

const place = ({ partition, offset, line }: Pick<StoredLine, 'partition' | 'offset' | 'line'>): string =>
  `${partition}/${offset}/${line}`;

/** Reads a topic from its beginning to its present end with a client of its own, without a group's commits. */
export async function readTopic(
  space: Isolated,
  topic: string,
  visit: (record: {
    partition: number;
    offset: bigint;
    /** When it was sent, epoch milliseconds. */
    timestamp: number;
    value: Buffer;
    headers: Record<string, string>;
  }) => void,
): Promise<void> {
  const kafka = new Kafka({ clientId: 'weir-test', brokers: [...space.brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  const groupId = `${space.namespace}.audit-${process.hrtime.bigint()}`;
  const open = new Map(
    ends
      .filter(({ low, high }) => BigInt(high) > BigInt(low))
      .map(({ partition, high }) => [partition, BigInt(high)]),
  );
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000 });
  try {
    if (open.size === 0) return;
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run({
          autoCommit: false,
          eachMessage: async ({ partition, message }) => {
            const offset = BigInt(message.offset);
            const end = open.get(partition);
            if (end === undefined) return;
            const headers = Object.fromEntries(
              Object.entries(message.headers ?? {}).map(([key, value]) => [key, String(value)]),
            );
            const value = message.value ?? Buffer.alloc(0);
            visit({ partition, offset, timestamp: Number(message.timestamp), value, headers });
            if (offset + 1n >= end) open.delete(partition);
            if (open.size === 0) resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
    await admin.deleteGroups([groupId]).catch(() => undefined);
    await admin.disconnect();
  }
}

/** Every line of the readings topic, in log order per partition. */
export async function kafkaLines(space: Isolated): Promise<StoredLine[]> {
  const lines: StoredLine[] = [];
  await readTopic(space, kafkaTopology(space.namespace).readings.name, ({ partition, offset, value }) => {
    splitLines(value).forEach((text, line) => {
      lines.push({
        partition,
        offset,
        line,
        envelope: decodeEnvelope(text),
        payload: payloadBytes(text).toString(),
      });
    });
  });
  return lines;
}

export interface StoredDeadLetter {
  readonly reason: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}
export async function deadLetters(space: Isolated): Promise<StoredDeadLetter[]> {
  const letters: StoredDeadLetter[] = [];
  await readTopic(space, kafkaTopology(space.namespace).deadLetters.name, ({ value, headers }) => {
    letters.push({ reason: headers['x-dlq-reason'] ?? '', value, headers });
  });
  return letters;
}

/** Every line of the archive, in offset order per partition; a line stored twice is an error. */
export async function archiveLines(space: Isolated): Promise<StoredLine[]> {
  const archive = openArchive({ ...space.minio, bucket: archiveBucket(space.namespace) });
  const lines: StoredLine[] = [];
  const seen = new Set<string>();
  for await (const object of archive.listObjects({})) {
    for await (const { text } of archive.readLines(object)) {
      const { partition, offset, line } = JSON.parse(text) as {
        partition: number;
        offset: number;
        line: number;
      };
      const stored = {
        partition,
        offset: BigInt(offset),
        line,
        envelope: decodeEnvelope(text),
        payload: payloadBytes(text).toString(),
      };
      if (seen.has(place(stored))) throw new Error(`the archive holds ${place(stored)} twice`);
      seen.add(place(stored));
      lines.push(stored);
    }
  }
  return lines.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset) || a.line - b.line);
}

export interface RabbitAudit {
  /** Every reading line that arrived, with its routing key. */
  readonly readings: readonly {
    readonly key: string;
    readonly device: string;
    readonly ts: number;
    readonly seq?: number;
    readonly value: number;
  }[];
}

/** Binds a durable queue to all telemetry and collects what arrives there, over restarts of the broker. */
export async function auditRabbit(scope: Scope, space: Isolated): Promise<RabbitAudit> {
  const readings: RabbitAudit['readings'][number][] = [];
  const queue = 'weir.test.audit';
  let closed = false;
  let connection: Awaited<ReturnType<typeof connect>> | undefined;
  const open = async (): Promise<void> => {
    const opened = await connect(space.rabbitmqUrl);
    connection = opened;
    opened.on('error', () => undefined);
    opened.on('close', () => {
      if (!closed) again();
    });
    const channel = await opened.createChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await channel.bindQueue(queue, EXCHANGES.telemetry.name, 'telemetry.#');
    await channel.prefetch(500);
    await channel.consume(queue, (message) => {
      if (message === null) return;
      for (const line of splitLines(message.content))
        readings.push({ key: message.fields.routingKey, ...JSON.parse(line) });
      channel.ack(message);
    });
  };
  const again = (): void => {
    setTimeout(() => {
      if (!closed) open().catch(again);
    }, 200).unref();
  };
  await open();
  atEnd(scope, async () => {
    closed = true;
    await connection?.close().catch(() => undefined);
  });
  return { readings };
}

export interface StoredWindow {
  readonly device: string;
  readonly metric: string;
  readonly level: LevelName;
  readonly start: number;
  readonly revision: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly m2: number;
  readonly first: number;
  readonly last: number;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

/** Answers of one snapshot of the database, in the order of the questions. */
async function ask<R extends pg.QueryResultRow>(space: Isolated, texts: readonly string[]): Promise<R[][]> {
  const client = new pg.Client({ connectionString: space.timescaleUrl });
  // A server that is killed meanwhile ends the connection; the query that needs it rejects.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const answers: R[][] = [];
    for (const text of texts) answers.push((await client.query<R>(text)).rows);
    return answers;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Every stored window of every level. */
export async function storedWindows(space: Isolated): Promise<StoredWindow[]> {
  const texts = LEVELS.map(({ name, table, seconds }) => {
    const quantiles =
      seconds >= 10 ? 'w.p50, w.p90, w.p99' : 'NULL::float8 AS p50, NULL::float8 AS p90, NULL::float8 AS p99';
    return `SELECT '${name}' AS level, s.device, s.metric, w.revision, extract(epoch FROM w.ts)::float8 * 1000 AS start, w.count,
                   w.sum, w.min, w.max, w.m2, w.first, w.last, ${quantiles}
              FROM ${table} w JOIN series s USING (series_id)`;
  });
  return (await ask<StoredWindow>(space, texts)).flat();
}

/** Readings counted by the windows of the finest level. */
export async function windowedReadings(space: Isolated): Promise<number> {
  const text = `SELECT coalesce(sum(count), 0)::float8 AS n FROM ${LEVELS[0].table}`;
  return (await ask<{ n: number }>(space, [text]))[0]?.[0]?.n ?? 0;
}
