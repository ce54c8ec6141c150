import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, type Scope } from '@weir/testkit';
import { LEVELS, TABLES } from '@weir/topology';
import {
  type Column,
  compareKeys,
  type Database,
  migrate,
  openDatabase,
  openScratch,
  openSnapshot,
  putSeries,
  valuesOf,
} from './index.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const TABLE_NAMES = [...LEVELS.map(({ table }) => table), TABLES.series, TABLES.partitionOffsets];

async function open(scope: Scope): Promise<{ url: string; database: Database }> {
  const { timescaleUrl: url } = await isolated(scope, { timescale: true });
  await migrate(url, join(import.meta.dirname, '../../../infra/migrations'));
  const database = openDatabase({ url, log, poolSize: 3 });
  atEnd(scope, () => database.close());
  return { url, database };
}

const schemas = async (database: Database): Promise<string[]> =>
  (
    await database.query<{ name: string }>(
      'listing schemas',
      `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'weir\\_scratch%' ORDER BY 1`,
    )
  ).map(({ name }) => name);

test('a scratch schema has tables of the same shape, and is removed by its run or by the next', async (t) => {
  const { url, database } = await open(t);
  const make = (kind: 'audit' | 'rebuild', storage: 'plain' | 'live') =>
    openScratch({ kind, live: database, url, tables: TABLE_NAMES, storage, besideLive: storage === 'live' });
  const first = await make('audit', 'plain');
  const second = await make('rebuild', 'live');
  assert.deepEqual(await schemas(database), [first.schema, second.schema].sort());
  await assert.rejects(make('rebuild', 'live'), /another rebuild is under way/);

  // Same columns, indexes and constraints, under the same names; a copy of a hypertable is one.
  const shape = (schema: string) =>
    database.query(
      'reading shapes',
      `SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_identity
         FROM information_schema.columns WHERE table_schema = $1 AND table_name = ANY($2) ORDER BY 1, 3`,
      [schema, TABLE_NAMES],
    );
  const indexes = (schema: string) =>
    database.query(
      'reading indexes',
      `SELECT tablename, indexname, replace(indexdef, $1 || '.', '') AS definition FROM pg_indexes
        WHERE schemaname = $1 AND tablename = ANY($2) ORDER BY 1, 2`,
      [schema, TABLE_NAMES],
    );
  for (const { schema } of [first, second]) {
    assert.deepEqual(await shape(schema), await shape('public'));
    assert.deepEqual(await indexes(schema), await indexes('public'));
  }
  const hypertables = (schema: string) =>
    database.query(
      'reading hypertables',
      `SELECT hypertable_name, time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_schema = $1 AND hypertable_name = ANY($2) ORDER BY 1`,
      [schema, TABLE_NAMES],
    );
  assert.deepEqual(await hypertables(second.schema), await hypertables('public'));
  assert.equal((await hypertables(first.schema)).length, 0);

  // A run that died leaves its schema behind, hypertables and chunks too; the next one removes it, not a live one.
  const inside = openDatabase({ url: second.url, log, poolSize: 1 });
  await inside.query(
    'adding a row',
    `INSERT INTO windows_1s (ts, first_ts, last_ts, sum, min, max, m2, first, last, series_id, count)
     VALUES (now(), now(), now(), 1, 1, 1, 0, 1, 1, 1, 1)`,
  );
  assert.equal(
    (await database.query('counting', 'SELECT FROM windows_1s')).length,
    0,
    'the live table is empty',
  );
  await inside.close();
  await database.query(
    'ending the session of a run',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'weir rebuild' AND datname = current_database()`,
  );
  if (!second.lost.aborted)
    await new Promise((resolve) => second.lost.addEventListener('abort', resolve, { once: true }));
  await second.remove();
  const third = await make('rebuild', 'live');
  assert.deepEqual(await schemas(database), [first.schema, third.schema].sort());
  await third.remove();
  await third.remove();
  await first.remove();
  assert.deepEqual(await schemas(database), []);
});

test('a snapshot streams rows of one moment, bit for bit and in the order of their keys', async (t) => {
  const { url, database } = await open(t);
  const columns: readonly Column[] = [
    { name: 'series_id', type: 'int4' },
    { name: 'ts', type: 'timestamptz' },
    { name: 'sum', type: 'float8' },
    { name: 'sketch', type: 'bytea' },
  ];
  await database.query(
    'adding rows',
    `INSERT INTO windows_1s (ts, first_ts, last_ts, sum, min, max, m2, first, last, series_id, count, sketch)
     SELECT to_timestamp(t), now(), now(), CASE WHEN t < 0 THEN '-0'::float8 ELSE t END, 1, 1, 0, 1, 1, s, 1,
            CASE WHEN s > 0 THEN convert_to(repeat('x', s * 40), 'UTF8') END
       FROM generate_series(-2000, 2000) t, unnest(ARRAY[-2147483648, -1, 0, 7, 300]) s`,
  );
  const snapshot = await openSnapshot(url, { lock: TABLES.maintenance });
  atEnd(t, () => snapshot.close());
  const select = 'SELECT series_id, ts, sum, sketch FROM windows_1s ORDER BY series_id, ts';
  const [before] = await snapshot.query<{ n: string }>('counting', 'SELECT count(*) AS n FROM windows_1s');
  await database.query('deleting rows', 'DELETE FROM windows_1s WHERE series_id = 7');
  const other = await openSnapshot(url);
  atEnd(t, () => other.close());
  const cursor = snapshot.rows('reading', select, columns);
  const twin = other.rows(
    'reading',
    `${select.replace('windows_1s', '(SELECT * FROM windows_1s WHERE series_id <> 7) w')}`,
    columns,
  );
  let rows = 0;
  let seen: { id: number; ts: number } | null = null;
  let more = await twin.next();
  while (await cursor.next()) {
    rows++;
    const id = cursor.int4(0);
    const ts = cursor.time(1);
    if (seen !== null) assert.ok(seen.id < id || (seen.id === id && seen.ts < ts));
    seen = { id, ts };
    const values = valuesOf(cursor.copy(), columns);
    assert.deepEqual([values.series_id, values.ts], [id, ts]);
    assert.ok(Object.is(values.sum, ts < 0 ? -0 : ts / 1_000), `${String(values.sum)} at ${ts}`);
    assert.equal((values.sketch as Buffer | null)?.length ?? 0, Math.max(0, id) * 40);
    if (id === 7) {
      assert.ok(compareKeys(cursor, twin, columns, 2) < 0);
      continue;
    }
    assert.equal(compareKeys(cursor, twin, columns, 2), 0);
    assert.equal(cursor.equals(twin), true);
    more = await twin.next();
  }
  assert.equal(more, false);
  assert.equal(rows, Number(before?.n));
  await assert.rejects(
    async () => await snapshot.rows('reading nothing', 'SELECT 1 FROM nowhere', columns).next(),
    /reading nothing: .*nowhere/,
  );
});

test('series keep their keys in a scratch schema of their own', async (t) => {
  const { url, database } = await open(t);
  const scratch = await openScratch({
    kind: 'audit',
    live: database,
    url,
    tables: TABLE_NAMES,
    storage: 'plain',
    besideLive: false,
  });
  const inside = openDatabase({ url: scratch.url, log, poolSize: 1 });
  const rows = [{ id: 41, site: 's', device: 'd', metric: 'm', unit: 'C' }];
  await putSeries(inside, rows);
  await putSeries(inside, rows);
  assert.deepEqual(
    await inside.query('reading', 'SELECT series_id AS id, site, device, metric, unit FROM series'),
    rows,
  );
  assert.equal((await database.query('reading', 'SELECT FROM series')).length, 0);
  await inside.close();
  await scratch.remove();
});
