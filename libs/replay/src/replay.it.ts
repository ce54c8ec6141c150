import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { openAdmin, openLogReader } from '@weir/connect-kafka';
import { openArchive, openStore } from '@weir/connect-minio';
import { claimPartition, migrate, openDatabase, PartitionWriter, rollupPart } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { encodeEnvelope, envelopePrefix, joinLines, partitionOf } from '@weir/reading';
import { atEnd, type Isolated, isolated, type Scope } from '@weir/testkit';
import { archiveBucket, archiveKey, kafkaTopology, LEVELS } from '@weir/topology';
import { groupings } from '@weir/windows';
import { type AuditReport, audit } from './index.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const windows = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 60_000,
  idleTimeoutMs: 1_000,
  dedupHorizonMs: 60_000,
  dedupCount: 64,
};
const T0 = Date.parse('2026-03-01T12:00:00Z');
const GROUPINGS = groupings(['site', 'fleet'], []);

/** One device, its partition folded into a database as the live pipeline does it, and its records in an archive. */
class Bench {
  readonly records: string[][] = [];
  readonly partition: number;
  readonly space: Isolated;
  readonly bucket: string;
  readonly topic: string;
  readonly store: ReturnType<typeof openStore>;
  readonly database: ReturnType<typeof openDatabase>;

  private constructor(space: Isolated) {
    this.space = space;
    this.store = openStore(space.minio);
    this.database = openDatabase({ url: space.timescaleUrl, log });
    this.bucket = archiveBucket(space.namespace);
    const { readings } = kafkaTopology(space.namespace);
    this.topic = readings.name;
    this.partition = partitionOf('pump', readings.partitions);
  }

  static async open(scope: Scope): Promise<Bench> {
    const space = await isolated(scope, { kafka: true, timescale: true, minio: true });
    const bench = new Bench(space);
    atEnd(scope, async () => {
      bench.store.close();
      await bench.database.close();
    });
    const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
    await admin.applyTopics([kafkaTopology(space.namespace).readings]);
    await admin.close();
    await migrate(space.timescaleUrl, join(import.meta.dirname, '../../../infra/migrations'));
    await bench.store.ensureBucket(bench.bucket);
    return bench;
  }
  /** Three readings a second for `seconds`, five seconds in a record. */
  send(seconds: number): void {
    const prefix = envelopePrefix({ edge: 'e/s', site: 'here', device: 'pump', metric: 't', via: 'mqtt' });
    for (let from = 0; from < seconds; from += 5) {
      const lines: string[] = [];
      for (let i = from * 3; i < (from + 5) * 3; i++) {
        const ts = T0 + Math.floor((i * 1_000) / 3);
        const payload = Buffer.from(
          JSON.stringify({ ts, seq: i, value: 20 + Math.round(1e4 * Math.sin(i)) / 1e3 }),
        );
        lines.push(
          encodeEnvelope(prefix, { n: i, at: ts + 20 }, payload)
            .toString()
            .trimEnd(),
        );
      }
      this.records.push(lines);
    }
  }

  /** Stores records from `first` to `last` as an object. */
  async archive(
    first: number,
    last: number,
    records: readonly (readonly string[])[] = this.records,
  ): Promise<void> {
    const text = records
      .slice(first, last + 1)
      .flatMap((lines, i) =>
        lines.map(
          (line, n) => `{"partition":${this.partition},"offset":${first + i},"line":${n},${line.slice(1)}\n`,
        ),
      )
      .join('');
    const sha256 = createHash('sha256').update(text).digest('hex');
    const hour = T0 + (records === this.records ? 0 : 3_600_000);
    const key = archiveKey(this.partition, BigInt(first), BigInt(last), hour);
    await this.store.put(this.bucket, key, zstdCompressSync(text), { sha256, count: '1', records: '1' });
  }

  /** What the aggregator does, with a device that falls silent at the end. */
  async fold(): Promise<void> {
    const { database, topic, partition } = this;
    const writer = new PartitionWriter({ database, topic, parts: [rollupPart({ groupings: GROUPINGS })] });
    const claim = await claimPartition(database, topic, partition, 'test');
    const { owned } = await writer.open(partition, claim, windows, () => true, 0);
    const commit = async (now: number): Promise<void> => {
      await writer.prepare([owned], () => now);
      await writer.write([writer.collect(owned, now)]);
    };
    for (const [offset, lines] of this.records.entries()) {
      owned.state.apply(BigInt(offset), joinLines(lines), 0);
      await commit(0);
    }
    await commit(1e9);
  }

  async audit(): Promise<AuditReport> {
    const { space, database, topic } = this;
    const archive = openArchive({ ...space.minio, bucket: this.bucket });
    const reader = openLogReader({ brokers: space.brokers, clientId: 'test', log }, topic);
    try {
      return await audit({
        ...{ archive, log: reader, topic, partitions: 12, windows, database },
        ...{ url: space.timescaleUrl, scratchUrl: space.timescaleUrl, groupings: GROUPINGS, device: null },
        ...{ from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY },
        open: (url) => openDatabase({ url, log }),
        maxFutureMs: 900_000,
        signal: new AbortController().signal,
        told: () => undefined,
      });
    } finally {
      archive.close();
      await reader.close();
    }
  }
}

const wrong = ({ levels }: AuditReport): string[] =>
  levels.flatMap(({ examples }) =>
    examples.map(({ kind, table, columns }) => `${kind} ${table} ${Object.keys(columns).join()}`),
  );

test('a figure that was changed is named, whichever it is, at every level', {
  timeout: 240_000,
}, async (t) => {
  const bench = await Bench.open(t);
  bench.send(100);
  await bench.archive(0, 19);
  await bench.fold();
  const clean = await bench.audit();
  assert.deepEqual([clean.clean, wrong(clean)], [true, []]);
  assert.equal(clean.levels[0]?.tally.equal, 100);

  const changes: Readonly<Record<string, string>> = {
    count: 'count + 1',
    // The least that a 64-bit float can differ by.
    ...Object.fromEntries(
      ['sum', 'min', 'max', 'm2', 'first', 'last'].map((name) => [name, `${name} * (1 + 2.3e-16)`]),
    ),
    first_ts: `first_ts - interval '1 microsecond'`,
    last_ts: `last_ts + interval '1 microsecond'`,
    sketch: `set_byte(sketch, length(sketch) - 1, get_byte(sketch, length(sketch) - 1) # 1)`,
    ...Object.fromEntries(['p50', 'p90', 'p99'].map((name) => [name, `${name} * (1 + 2.3e-16)`])),
  };
  for (const [column, change] of Object.entries(changes)) {
    const tables = LEVELS.map(({ table }) => table).filter(
      (table) => table !== 'windows_1s' || !/^p\d/.test(column),
    );
    for (const table of tables) {
      await bench.database.query(
        'keeping a row',
        `CREATE TABLE kept_${table} AS SELECT * FROM ${table} ORDER BY ts OFFSET (SELECT count(*) / 2 FROM ${table}) LIMIT 1`,
      );
      await bench.database.query(
        'changing a figure',
        `UPDATE ${table} SET ${column} = ${change} WHERE ts = (SELECT ts FROM kept_${table})`,
      );
    }
    const report = await bench.audit();
    const found = wrong(report).filter((one) => one.includes('windows'));
    assert.deepEqual(found.sort(), tables.map((table) => `different ${table} ${column}`).sort());
    assert.equal(report.clean, false);
    for (const table of tables) {
      await bench.database.query(
        'putting the figure back',
        `UPDATE ${table} SET ${column} = k.${column} FROM kept_${table} k WHERE ${table}.ts = k.ts`,
      );
      await bench.database.query('forgetting the row', `DROP TABLE kept_${table}`);
    }
  }
  assert.equal((await bench.audit()).clean, true);
});

test('records that an archive has twice are read once; two different ones are two logs', {
  timeout: 120_000,
}, async (t) => {
  const bench = await Bench.open(t);
  bench.send(100);
  await bench.archive(0, 11);
  await bench.archive(8, 19);
  await bench.fold();
  const twice = await bench.audit();
  assert.deepEqual([twice.clean, twice.levels[0]?.tally.equal], [true, 100]);

  const other = bench.records.map((lines) => lines.map((line) => line.replace('"value":', '"value":1')));
  await bench.archive(0, 3, other);
  const logs = await bench.audit();
  assert.equal(logs.clean, false);
  assert.deepEqual(
    logs.findings.map(({ kind, partition }) => [kind, partition]),
    [['two-logs', bench.partition]],
  );
  assert.deepEqual(wrong(logs), []);
});
