import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmin, openProducer, type Producer } from '@weir/connect-kafka';
import { type Database, migrate, openDatabase, readSources } from '@weir/connect-timescale';
import { formatSent } from '@weir/ledger';
import { createLogger } from '@weir/observe';
import {
  decodeEnvelope,
  ENVELOPE_CODEC,
  encodeEnvelope,
  envelopePrefix,
  partitionOf,
  readingsOf,
} from '@weir/reading';
import { atEnd, type Isolated, isolated, type Scope, until } from '@weir/testkit';
import { type KafkaTopology, kafkaTopology, LEVELS, RECORD_HEADERS } from '@weir/topology';
import { exactQuantile, type PlainOptions, plainKey, recompute, Sketch } from '@weir/windows';

export const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');

const EDGE = 'edge-1/spool';

/** Readings of a line; a line that is none says nothing of them. */
function countOf(line: string): number {
  try {
    return readingsOf(decodeEnvelope(line)).length;
  } catch {
    return 0;
  }
}

/** What a device publishes. */
export interface Publish {
  readonly device: string;
  readonly site?: string;
  readonly metric?: string;
  readonly at: number;
  readonly mid?: number;
  readonly dup?: boolean;
  /** JSON text. */
  readonly payload: string;
}

/** The readings log as the forwarder writes it, and the database that the aggregator writes, for one test. */
export class Bench {
  readonly space: Isolated;
  readonly topology: KafkaTopology;
  readonly database: Database;
  /** Lines of each partition, in log order. */
  readonly lines: string[][];
  private readonly producer: Producer;
  private readonly prefixes = new Map<string, string>();
  private n = 0;
  /** Readings of each partition that its records say were sent. */
  readonly sent: number[];
  private readonly since = Date.now();

  private constructor(space: Isolated, topology: KafkaTopology, database: Database, producer: Producer) {
    this.space = space;
    this.topology = topology;
    this.database = database;
    this.producer = producer;
    this.lines = Array.from({ length: topology.readings.partitions }, () => []);
    this.sent = this.lines.map(() => 0);
  }

  static async open(scope: Scope): Promise<Bench> {
    const space = await isolated(scope, { kafka: true, timescale: true });
    const topology = kafkaTopology(space.namespace);
    const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
    await admin.applyTopics([topology.readings, topology.deadLetters]);
    await admin.close();
    await migrate(space.timescaleUrl, MIGRATIONS);
    const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
    atEnd(scope, () => database.close());
    const producer = openProducer({ brokers: space.brokers, clientId: 'test', log });
    atEnd(scope, () => producer.close());
    return new Bench(space, topology, database, producer);
  }

  /** The line of a publish, with the next spool position. */
  line({ device, site = 'here', metric, at, mid, dup, payload }: Publish): string {
    const key = `${site}/${device}/${metric ?? ''}`;
    let prefix = this.prefixes.get(key);
    if (prefix === undefined) {
      prefix = envelopePrefix({ edge: EDGE, site, device, metric, via: 'mqtt' });
      this.prefixes.set(key, prefix);
    }
    const head = { n: ++this.n, at, qos: 1 as const, mid, dup };
    return encodeEnvelope(prefix, head, Buffer.from(payload)).toString('utf8').trimEnd();
  }

  /** Appends lines to the partition of their device, at most `perRecord` to a record, in one acks=all request. */
  async send(lines: readonly { device: string; line: string }[], perRecord = 50): Promise<void> {
    const records: Parameters<Producer['send']>[1][number][] = [];
    const byPartition = new Map<number, string[]>();
    for (const { device, line } of lines) {
      const partition = partitionOf(device, this.lines.length);
      const list = byPartition.get(partition);
      if (list === undefined) byPartition.set(partition, [line]);
      else list.push(line);
    }
    for (const [partition, list] of byPartition) {
      for (let at = 0; at < list.length; at += perRecord) {
        const part = list.slice(at, at + perRecord);
        const before = this.sent[partition] as number;
        const after = before + part.reduce((sum, line) => sum + countOf(line), 0);
        this.sent[partition] = after;
        const none = { letters: 0, buried: 0, dropped: 0, lost: 0 };
        const headers = {
          [RECORD_HEADERS.codec]: ENVELOPE_CODEC,
          [RECORD_HEADERS.count]: String(part.length),
          [RECORD_HEADERS.sent]: formatSent({ edge: EDGE, since: this.since, before, after, ...none }),
        };
        records.push({
          partition,
          value: Buffer.from(`${part.join('\n')}\n`),
          headers,
          timestamp: Date.now(),
        });
        for (const line of part) this.lines[partition]?.push(line);
      }
    }
    await this.producer.send(this.topology.readings.name, records);
  }

  /** Waits until every record is in the windows. */
  async folded(deadlineMs = 60_000): Promise<void> {
    const admin = openAdmin({ brokers: this.space.brokers, clientId: 'test', log });
    try {
      const ends = await admin.topicOffsets(this.topology.readings.name);
      const wanted = new Map(
        ends.filter(({ end }) => end > 0n).map(({ partition, end }) => [partition, end]),
      );
      await until(
        async () => {
          const rows = await this.offsets();
          return [...wanted].every(([partition, end]) => rows.get(partition)?.next === end);
        },
        { deadlineMs, what: 'all records in the windows', everyMs: 100 },
      );
    } finally {
      await admin.close();
    }
  }

  /** What the ledger says of each partition that has something: readings that came and that are missing. */
  async ledger(): Promise<Map<number, { through: number; missing: number }>> {
    const sources = await readSources(this.database, this.topology.readings.name);
    return new Map(sources.map(({ partition, through, missing }) => [partition, { through, missing }]));
  }

  async offsets(): Promise<Map<number, { next: bigint; epoch: bigint; owner: string }>> {
    const rows = await this.database.query<{ partition: number; next: string; epoch: string; owner: string }>(
      'reading offsets',
      'SELECT partition, next_offset AS next, epoch, owner FROM partition_offsets WHERE topic = $1',
      [this.topology.readings.name],
    );
    return new Map(
      rows.map(({ partition, next, epoch, owner }) => [
        partition,
        { next: BigInt(next), epoch: BigInt(epoch), owner },
      ]),
    );
  }

  /**
   * Compares every row of every level with the plain recomputation of the log: the same windows, and each figure bit
   * for bit (deviation within rounding, quantiles within 1 %). Waits for the rows of devices that fall silent: some are
   * not there until then, and some are there from an earlier silence and lack what came since.
   * @param log the lines of each partition; those that were sent unless something follows from them
   */
  async assertExact(
    options: PlainOptions,
    deadlineMs = 30_000,
    log: readonly (readonly string[])[] = this.lines,
  ): Promise<{ rows: number; late: number; duplicates: number }> {
    const wanted = new Map<string, PlainWindow>();
    let late = 0;
    let duplicates = 0;
    for (const lines of log) {
      const plain = recompute(lines, options);
      late += plain.late;
      duplicates += plain.duplicates;
      for (const [key, window] of plain.windows) wanted.set(key, window);
    }
    await until(async () => (await this.countRows()) >= wanted.size, {
      deadlineMs,
      what: `${wanted.size} rows`,
      everyMs: 200,
    });
    const givenUp = performance.now() + deadlineMs;
    for (;;) {
      try {
        return { rows: await this.compareRows(wanted), late, duplicates };
      } catch (error) {
        if (!(error instanceof assert.AssertionError) || performance.now() > givenUp) throw error;
        await delay(200);
      }
    }
  }

  private async compareRows(wanted: ReadonlyMap<string, PlainWindow>): Promise<number> {
    let rows = 0;
    for (const { name, table, seconds } of LEVELS) {
      const quantiles = seconds === 1 ? '' : ', w.p50, w.p90, w.p99';
      const stored = await this.database.query<Stored>(
        'reading all rows',
        `SELECT s.site, s.device, s.metric, w.*, (extract(epoch FROM w.ts) * 1000)::float8 AS start,
                (extract(epoch FROM w.first_ts) * 1000)::float8 AS first_at,
                (extract(epoch FROM w.last_ts) * 1000)::float8 AS last_at ${quantiles}
           FROM ${table} w JOIN series s USING (series_id)`,
      );
      for (const row of stored) {
        rows++;
        const key = plainKey(row.site, row.device, row.metric, name, row.start);
        const want = wanted.get(key);
        assert.ok(want !== undefined, `${key} should not exist`);
        assert.deepEqual(
          [row.count, row.sum, row.min, row.max, row.first, row.first_at, row.last, row.last_at],
          [want.count, want.sum, want.min, want.max, want.first, want.firstTs, want.last, want.lastTs],
          key,
        );
        const scale = Math.max(Math.abs(want.min), Math.abs(want.max), 1e-140);
        const deviation = want.count < 2 ? null : Math.sqrt(row.m2 / (row.count - 1));
        assert.ok(
          want.stddev === null || Math.abs((deviation ?? 0) - want.stddev) <= 1e-6 * scale,
          `${key} stddev`,
        );
        if (seconds === 1) continue;
        for (const [q, value] of [
          [0.5, row.p50],
          [0.9, row.p90],
          [0.99, row.p99],
        ] as const) {
          const exact = exactQuantile(want.sorted, q);
          assert.ok(
            Math.abs(value - exact) <= 0.0100001 * Math.abs(exact),
            `${key} q${q}: ${value} for ${exact}`,
          );
        }
        assert.ok(row.sketch !== null && Sketch.decode(row.sketch).size > 0, `${key} sketch`);
      }
    }
    assert.equal(rows, wanted.size);
    return rows;
  }

  private async countRows(): Promise<number> {
    const counts = LEVELS.map(({ table }) => `(SELECT count(*) FROM ${table})`).join(' + ');
    const [row] = await this.database.query<{ n: string }>('counting rows', `SELECT ${counts} AS n`);
    return Number(row?.n ?? 0);
  }
}

type PlainWindow = ReturnType<typeof recompute>['windows'] extends ReadonlyMap<string, infer W> ? W : never;

interface Stored extends Record<string, unknown> {
  site: string;
  device: string;
  metric: string;
  start: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  m2: number;
  first: number;
  last: number;
  first_at: number;
  last_at: number;
  p50: number;
  p90: number;
  p99: number;
  sketch: Buffer | null;
}

/** The value of a counter or gauge in the text of `/metrics`; series that match all of `labels` are added up. */
export function metric(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (!Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))) continue;
    sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

/** Repeatable: a failing run can be run again. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
