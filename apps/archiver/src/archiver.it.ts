import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { openAdmin, openProducer } from '@weir/connect-kafka';
import { type ArchiveReader, openArchive, openStore } from '@weir/connect-minio';
import { ENVELOPE_CODEC, encodeEnvelope, envelopePrefix, payloadBytes } from '@weir/reading';
import { type Isolated, isolated, spawnApp, until } from '@weir/testkit';
import { archiveBucket, kafkaTopology, RECORD_HEADERS } from '@weir/topology';
import { pino } from 'pino';

const PARTITIONS = 12;
const log = pino({ level: 'silent' });

/** Payload texts as sent, by `partition/offset/line`. */
type Sent = Map<string, string>;

async function setUp(space: Isolated) {
  const { readings, groups } = kafkaTopology(space.namespace);
  const kafka = { brokers: space.brokers, clientId: 'archiver-test', log };
  const admin = openAdmin(kafka);
  const producer = openProducer(kafka);
  const bucket = archiveBucket(space.namespace);
  const archive = openArchive({ ...space.minio, bucket });
  await admin.applyTopics([readings]);
  let n = 0;
  const next = new Map<number, number>();
  const sent: Sent = new Map();

  /** `rounds` records of 1 to 7 lines on each partition. */
  const produce = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const records = Array.from({ length: PARTITIONS }, (_, partition) => {
        const offset = next.get(partition) ?? 0;
        next.set(partition, offset + 1);
        const lines = Array.from({ length: 1 + ((offset + partition) % 7) }, (__, line) => {
          const text = `{"ts":${1_763_700_000_000 + n},"seq":${n}, "value": ${n}.50,"unit":"\u00b0C"}`;
          sent.set(`${partition}/${offset}/${line}`, text);
          const prefix = envelopePrefix({ edge: 'e1/s1', site: 'a', device: `d${partition}`, via: 'mqtt' });
          return encodeEnvelope(prefix, { n: n++, at: Date.now(), qos: 1, mid: 7 }, Buffer.from(text));
        });
        return {
          partition,
          value: Buffer.concat(lines),
          headers: { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: String(lines.length) },
          timestamp: Date.now(),
        };
      });
      await producer.send(readings.name, records);
    }
  };

  const committed = async (): Promise<boolean> =>
    (await admin.groupLag(groups.archiver, readings.name)).every(({ lag, end }) => lag === 0n || end === 0n);
  const close = async (): Promise<void> => {
    await Promise.all([producer.close(), admin.close()]);
    archive.close();
  };
  return { readings, producer, archive, bucket, sent, produce, committed, close };
}

/** Asserts that the archive holds exactly what was sent: every line once, in order, with its own bytes. */
async function assertExact(archive: ArchiveReader, sent: Sent): Promise<number> {
  const places = new Set<string>();
  const reached = new Map<number, bigint>();
  let objects = 0;
  for await (const object of archive.listObjects()) {
    objects++;
    const info = await archive.info(object);
    assert.equal(
      object.first,
      (reached.get(object.partition) ?? -1n) + 1n,
      `${object.key} follows without a hole`,
    );
    reached.set(object.partition, object.last);
    let count = 0;
    for await (const { text, line } of archive.readLines(object)) {
      const place = `${line.partition}/${line.offset}/${line.line}`;
      assert.ok(!places.has(place), `${place} is archived twice`);
      places.add(place);
      assert.equal(payloadBytes(text).toString(), sent.get(place), place);
      assert.ok(Number(line.at) >= (info.minAt ?? 0) && Number(line.at) <= (info.maxAt ?? 0), 'time range');
      count++;
    }
    assert.equal(count, info.count);
  }
  assert.equal(places.size, sent.size);
  return objects;
}

const settings = {
  WEIR_ARCHIVER__OBJECT_SIZE: '64KiB',
  WEIR_ARCHIVER__OBJECT_AGE: '500ms',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};

test('every record is archived exactly once, byte for byte, through kill -9 at any moment', async (t) => {
  const space = await isolated(t, { kafka: true, minio: true });
  const { archive, sent, produce, committed, close } = await setUp(space);
  t.after(close);
  const app = await spawnApp(t, 'archiver', { ...space.env, ...settings });
  for (let kill = 0; kill < 4; kill++) {
    const producing = produce(250);
    // Killed while objects are being made: as soon as the archive has grown since the last time.
    const before = await countObjects(archive);
    await until(async () => (await countObjects(archive)) > before + kill, {
      deadlineMs: 30_000,
      what: 'new objects',
    });
    await app.kill('SIGKILL');
    await producing;
    await app.restart();
  }
  await until(committed, { deadlineMs: 40_000, what: 'everything committed' });
  const objects = await assertExact(archive, sent);
  t.diagnostic(`${sent.size} lines in ${objects} objects, 4 kills`);
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function countObjects(archive: ArchiveReader): Promise<number> {
  return (await collect(archive.listObjects())).length;
}

test('an object that was stored but not committed is not stored again', async (t) => {
  const space = await isolated(t, { kafka: true, minio: true });
  const { readings, archive, sent, produce, committed, close } = await setUp(space);
  t.after(close);
  const app = await spawnApp(t, 'archiver', { ...space.env, ...settings });
  await produce(60);
  await until(committed, { deadlineMs: 30_000, what: 'everything committed' });
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  // As if it had been killed between every put and its commit: the group forgets all its places.
  const admin = openAdmin({ brokers: space.brokers, clientId: 'archiver-test', log });
  await admin.deleteGroups([kafkaTopology(space.namespace).groups.archiver]);
  await admin.close();
  await app.restart();
  await produce(5);
  await until(committed, { deadlineMs: 30_000, what: `all of ${readings.name} committed` });
  await assertExact(archive, sent);
});

test('SIGTERM stores what is open; a record that is no lines is kept as base64', async (t) => {
  const space = await isolated(t, { kafka: true, minio: true });
  const { readings, producer, archive, committed, close } = await setUp(space);
  t.after(close);
  const app = await spawnApp(t, 'archiver', { ...space.env, ...settings, WEIR_ARCHIVER__OBJECT_AGE: '1h' });
  const strange = Buffer.from([0, 1, 2, 255, 10]);
  await producer.send(readings.name, [
    { partition: 4, value: strange, key: Buffer.from('k'), timestamp: 1_000 },
  ]);
  await until(async () => /weir_ledger_in_flight\{[^}]*\} 1\n/.test(await app.metrics()), {
    deadlineMs: 30_000,
    what: 'the record taken',
  });
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  assert.ok(await committed());
  const objects = await collect(archive.listObjects({ partition: 4 }));
  assert.deepEqual(
    objects.map(({ first, last, hourMs }) => [first, last, hourMs]),
    [[0n, 0n, 0]],
  );
  const [only] = await collect(archive.readLines(objects[0]!));
  assert.deepEqual(Buffer.from(only?.line.raw_base64 ?? '', 'base64'), strange);
});

test('DuckDB reads an object as it is', async (t) => {
  const space = await isolated(t, { kafka: true, minio: true });
  const run = await setUp(space);
  t.after(run.close);
  const app = await spawnApp(t, 'archiver', { ...space.env, ...settings });
  await run.produce(40);
  await until(run.committed, { deadlineMs: 30_000, what: 'everything committed' });
  await app.stop();
  const store = openStore(space.minio);
  t.after(() => store.close());
  let lines = 0;
  for await (const { key } of run.archive.listObjects()) {
    const { body } = await store.get(run.bucket, key);
    writeFileSync(join(space.folder, key.replaceAll('/', '_')), body);
    lines++;
  }
  assert.ok(lines > 0);
  const database = await DuckDBInstance.create(':memory:');
  const connection = await database.connect();
  const result = await connection.runAndReadAll(
    `SELECT count(*) AS lines, count(DISTINCT ("partition", "offset", line)) AS places, sum(payload.value) AS total
     FROM read_json('${join(space.folder, '*.ndjson.zst')}', format = 'newline_delimited')`,
  );
  connection.closeSync();
  const [row] = result.getRowObjectsJson();
  const total = [...run.sent.values()].reduce(
    (sum, text) => sum + (JSON.parse(text) as { value: number }).value,
    0,
  );
  assert.deepEqual(
    [Number(row?.lines), Number(row?.places), Number(row?.total)],
    [run.sent.size, run.sent.size, total],
  );
});
