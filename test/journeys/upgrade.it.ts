import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openArchive } from '@weir/connect-minio';
import { isolated, spawnApp, until, withDatabase } from '@weir/testkit';
import { archiveBucket, LEVELS } from '@weir/topology';
import { auditArchive, auditWindows } from '../support/audit.ts';
import { weir } from '../support/pipeline.ts';
import type { KnownReading } from '../support/recompute.ts';
import { Recorded } from '../support/recorded.ts';
import { indexed } from '../support/replays.ts';
import { deadLetters, kafkaLines } from '../support/sinks.ts';

const SETTINGS = {
  WEIR_EDGE__ANONYMOUS: 'true',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '200ms',
  WEIR_ARCHIVER__OBJECT_AGE: '2s',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
  // The recording stays as old as it is.
  WEIR_RETENTION__LOG: '36500d',
  WEIR_RETENTION__DEAD_LETTERS: '36500d',
  ...Object.fromEntries(
    LEVELS.map(({ name }) => [`WEIR_RETENTION__WINDOWS__${name.toUpperCase()}`, 'forever']),
  ),
};

const old = new Recorded('0.1.0');

test('rows, records and dead letters of version 0.1.0: today goes on where it stopped', {
  timeout: 600_000,
}, async (t) => {
  const own = await isolated(t);
  const space = { ...own, env: { ...own.env, ...SETTINGS } };
  await old.restoreDatabase(space, 3);
  await weir(space.env, 'topology', 'apply');
  await old.restoreLog(space);
  const folded = (): Promise<number> =>
    withDatabase(space.timescaleUrl, async (client) => {
      const { rows } = await client.query<{ n: string }>(
        'SELECT sum(next_offset) AS n FROM partition_offsets',
      );
      return Number(rows[0]?.n);
    });
  assert.ok((await folded()) < old.readings.length, 'a part of the log is left to fold');

  await spawnApp(t, 'aggregator', space.env);
  const windows = await auditWindows(space, old.known, 60_000);
  t.diagnostic(`${old.known.length} readings, ${windows} windows`);
  // Every row says in what form it is, those that were there before too.
  await withDatabase(space.timescaleUrl, async (client) => {
    for (const table of [...LEVELS.map((level) => level.table), 'series', 'partition_offsets']) {
      const { rows } = await client.query(`SELECT DISTINCT schema_version FROM ${table}`);
      assert.deepEqual(rows, [{ schema_version: 1 }], table);
    }
  });

  // What is too late is in no window: the last records may be nothing else.
  await until(async () => (await folded()) === old.readings.length, {
    deadlineMs: 60_000,
    what: 'the whole log to be folded',
  });
  // Dead letters of the old aggregator and of this one alike are readings again when they are replayed.
  const late = (await deadLetters(space)).filter(({ reason }) => reason === 'late');
  const recorded = old.deadLetters.filter(({ headers }) => headers['x-dlq-reason'] === 'late');
  assert.ok(recorded.length > 0 && late.length > recorded.length);
  await Promise.all([spawnApp(t, 'dead-letters', space.env), spawnApp(t, 'gateway', space.env)]);
  await indexed(space, late.length);
  await weir(space.env, 'dlq', 'replay', '--reason', 'late', '--why', 'the upgrade', '--yes');
  const brought = late.map(({ value }): KnownReading => {
    const { device, payload } = JSON.parse(value.toString()) as {
      device: string;
      payload: { ts: number; seq: number; value: number };
    };
    return { device, metric: 'value', ...payload };
  });
  await auditWindows(space, [...old.known, ...brought], 60_000);
});

test('archive objects of version 0.1.0 are read, and the archiver goes on behind them', {
  timeout: 600_000,
}, async (t) => {
  const own = await isolated(t);
  const space = { ...own, env: { ...own.env, ...SETTINGS } };
  await weir(space.env, 'topology', 'apply');
  await old.restoreLog(space);
  await old.restoreArchive(space);
  const archive = openArchive({ ...space.minio, bucket: archiveBucket(space.namespace) });
  t.after(() => archive.close());
  for await (const object of archive.listObjects()) {
    const info = await archive.info(object);
    const texts: string[] = [];
    for await (const { text } of archive.readLines(object)) texts.push(text);
    const wanted = old.readings
      .filter(({ partition, offset }) => partition === object.partition && BigInt(offset) <= object.last)
      .flatMap(({ value }) => value.trimEnd().split('\n'));
    assert.ok(wanted.length > 0 && info.count === wanted.length);
    assert.deepEqual(
      texts.map((text) => text.replace(/^\{"partition":\d+,"offset":\d+,"line":\d+,/, '{')),
      wanted,
    );
  }
  const lines = await kafkaLines(space);
  await spawnApp(t, 'archiver', space.env);
  await auditArchive(space, lines, 60_000);
});

test('the spool of an edge of version 0.1.0 is forwarded, and taken further', {
  timeout: 600_000,
}, async (t) => {
  const own = await isolated(t);
  const space = { ...own, env: { ...own.env, ...SETTINGS, WEIR_EDGE__ID: 'edge-2' } };
  await weir(space.env, 'topology', 'apply');
  cpSync(join(old.folder, 'spool'), String(own.env.WEIR_EDGE__SPOOL__DIR), { recursive: true });
  const edge = await spawnApp(t, 'edge', space.env);
  const posted = await fetch(`${edge.url}/ingest/v1/plant-1/rec-new`, {
    method: 'POST',
    body: '{"value":1}',
    headers: { 'content-type': 'application/json' },
  });
  assert.ok(posted.ok, String(posted.status));
  const lines = await until(
    async () => {
      const found = await kafkaLines(space);
      return (
        found.some(({ envelope }) => envelope.device === 'rec-new') &&
        found.length >= RECORDED_SPOOL + 1 &&
        found
      );
    },
    { deadlineMs: 30_000, what: 'the lines of the old spool in Kafka', everyMs: 250 },
  );
  // The recorder published each of them once, and the new one came behind them in the same spool.
  assert.equal(lines.length, RECORDED_SPOOL + 1);
  const fresh = lines.find(({ envelope }) => envelope.device === 'rec-new');
  assert.ok(lines.every(({ envelope }) => envelope.n <= (fresh?.envelope.n ?? 0)));
  assert.equal(new Set(lines.map(({ envelope }) => envelope.edge)).size, 1);
});

/** Publishes of the recorder to the edge whose brokers were away. */
const RECORDED_SPOOL = 115;
