import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { atEnd, cutProxy, isolated, until } from '@weir/testkit';
import { LEVELS } from '@weir/topology';
import { type Figures, LEVEL_MS, meanOf, Sketch, stddevOf, WindowPool } from '@weir/windows';
import {
  allocateSeries,
  areMoved,
  claimPartition,
  FencedError,
  loadOpenWindows,
  loadSeries,
  loadWindows,
  migrate,
  movePartitions,
  openDatabase,
  openQueries,
  readEdition,
  SeriesLoads,
  sqlState,
  WindowRows,
  writeLevel,
} from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const T0 = 1_700_000_000_000;
const space = await isolated({ after }, { timescale: true });
await migrate(space.timescaleUrl, MIGRATIONS);
const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 3, statementTimeoutMs: 4_000 });
after(() => database.close());

/** As the window engine would have it: its slots, read and copied. */
const engine = new WindowPool();
const read = (slot: number): Figures => {
  const row = engine.reader();
  row.window = slot;
  return copyOf(row);
};
const copyOf = (w: Figures): Figures => ({
  start: w.start,
  count: w.count,
  sum: w.sum,
  min: w.min,
  max: w.max,
  m2: w.m2,
  first: w.first,
  firstTs: w.firstTs,
  last: w.last,
  lastTs: w.lastTs,
  sketch: w.sketch === null ? null : Sketch.decode(w.sketch.encode()),
});
const pane = (start: number, values: readonly number[]): Figures => {
  const slot = engine.make(start);
  for (const [i, value] of values.entries()) engine.add(slot, value, start + i);
  return read(slot);
};
const over = (start: number, children: readonly Figures[]): Figures => {
  const slot = engine.make(start);
  for (const child of children) engine.take(slot, engine.load(child));
  return read(slot);
};
const figuresOf = (w: Figures): unknown => ({ ...copyOf(w), sketch: w.sketch?.encode().toString('hex') });
async function write(
  level: number,
  added: [number, Figures][],
  changed: [number, Figures][] = [],
): Promise<void> {
  const rows = { added: new WindowRows(level), changed: new WindowRows(level) };
  for (const [id, window] of added) rows.added.add(id, window);
  for (const [id, window] of changed) rows.changed.add(id, window);
  await database.transaction('a test', (transaction) =>
    writeLevel(transaction, level, [rows.added], [rows.changed]),
  );
}

test('migrations run once, also when several start at a time', async (t) => {
  const fresh = await isolated(t, { timescale: true });
  const results = await Promise.all([1, 2, 3].map(() => migrate(fresh.timescaleUrl, MIGRATIONS)));
  const applied = results.filter((result) => result.applied.length > 0);
  assert.equal(applied.length, 1);
  assert.equal(applied[0]?.applied.length, applied[0]?.total);
});

test('an edited, a doubled, an unknown and a failing migration each stop with their name', async (t) => {
  const fresh = await isolated(t, { timescale: true });
  const dir = join(fresh.folder, 'migrations');
  mkdirSync(dir);
  cpSync(join(MIGRATIONS, '0001_windows.sql'), join(dir, '0001_windows.sql'));
  await migrate(fresh.timescaleUrl, dir);
  writeFileSync(join(dir, '0002_bad.sql'), 'CREATE EXTENSION weather_forecast;');
  await assert.rejects(
    migrate(fresh.timescaleUrl, dir),
    /0002_bad.sql.*does not have the extension weather_forecast/,
  );
  writeFileSync(join(dir, '0002_bad.sql'), 'CREATE TABLE half (x int); SELECT 1 / 0;');
  await assert.rejects(migrate(fresh.timescaleUrl, dir), /0002_bad.sql: division by zero/);
  writeFileSync(join(dir, '0002_bad.sql'), 'CREATE TABLE half (x int);');
  assert.deepEqual((await migrate(fresh.timescaleUrl, dir)).applied, ['0002_bad.sql']);
  writeFileSync(join(dir, '0002_bad.sql'), 'CREATE TABLE half (x bigint);');
  await assert.rejects(migrate(fresh.timescaleUrl, dir), /0002_bad.sql was edited/);
  writeFileSync(join(dir, '0001_again.sql'), 'SELECT 1;');
  await assert.rejects(migrate(fresh.timescaleUrl, dir), /two migrations have the number 1/);
  await assert.rejects(
    migrate(fresh.timescaleUrl, fresh.folder),
    /0001_windows.sql, which this version of Weir does not know/,
  );
});

test('the edition is read', async () => {
  const edition = await readEdition(database);
  assert.match(edition.version, /^2\./);
  assert.ok(['apache', 'timescale'].includes(edition.license));
});

test('errors carry what may be done about them', async (t) => {
  const refused = (retry: string, code: string) => (error: unknown) =>
    error instanceof WeirError && error.retry === retry && error.code === code;
  await assert.rejects(database.query('asking', 'SELECT pg_sleep(5)'), refused('transient', 'WEIR_TIMEOUT'));
  await assert.rejects(database.query('asking', 'SELECT $1::int', ['x']), refused('data', 'WEIR_REJECTED'));
  await assert.rejects(database.query('asking', 'SELEC'), refused('fatal', 'WEIR_STATE'));
  const nowhere = openDatabase({ url: 'postgres://weir:x@127.0.0.1:1/weir', log });
  t.after(() => nowhere.close());
  await assert.rejects(nowhere.query('asking', 'SELECT 1'), refused('transient', 'WEIR_CONNECTION_LOST'));
  const url = new URL(space.timescaleUrl);
  url.password = 'wrong';
  const stranger = openDatabase({ url: url.href, log });
  t.after(() => stranger.close());
  await assert.rejects(stranger.query('asking', 'SELECT 1'), refused('fatal', 'WEIR_UNAUTHORIZED'));
});

test('a connection that is cut in a transaction gives a transient error, and the next call works', async () => {
  const cut = database.transaction('being cut', async (transaction) => {
    const [me] = await transaction.query<{ pid: number }>('asking', 'SELECT pg_backend_pid() AS pid');
    await database.query('cutting', 'SELECT pg_terminate_backend($1)', [me?.pid]);
    await transaction.query('asking', 'SELECT 1');
  });
  await assert.rejects(cut, (error: unknown) => error instanceof WeirError && error.retry === 'transient');
  await until(async () => (await database.query('asking', 'SELECT 1')).length === 1, {
    deadlineMs: 20_000,
    what: 'a new connection',
  });
});

test('a process that was paused in a transaction finds its session ended: a transient error', async (t) => {
  const paused = openDatabase({ url: space.timescaleUrl, log, idleInTransactionMs: 200 });
  t.after(() => paused.close());
  const late = paused.transaction('being paused', async (transaction) => {
    await transaction.query('asking', 'SELECT 1');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000); // nothing of this process runs
    await transaction.query('asking', 'SELECT 1');
  });
  await assert.rejects(
    late,
    (error: unknown) => error instanceof WeirError && error.code === 'WEIR_CONNECTION_LOST',
  );
});

test('a server that falls silent is a transient error after the deadline, also in COPY and COMMIT', async (t) => {
  const url = new URL(space.timescaleUrl);
  const proxy = await cutProxy(t, { host: url.hostname, port: Number(url.port || 5432) });
  url.port = String(proxy.port);
  // pg's own deadline is 5 s after the server's.
  const silenced = openDatabase({ url: url.href, log, poolSize: 3, statementTimeoutMs: 1_000 });
  atEnd(t, () => silenced.close());
  let ready = 0;
  const mutedWhenAllAreReady = async (): Promise<void> => {
    if (++ready === 3) proxy.mute();
    await until(() => ready === 3, { deadlineMs: 20_000, what: 'all three', everyMs: 5 });
  };
  const since = performance.now();
  const outcomes = await Promise.allSettled([
    silenced.transaction('asking', async (transaction) => {
      await mutedWhenAllAreReady();
      await transaction.query('asking', 'SELECT 1');
    }),
    silenced.transaction('copying', async (transaction) => {
      await mutedWhenAllAreReady();
      await transaction.copy('copying', 'COPY alerts FROM STDIN', [Buffer.from('x')]);
    }),
    silenced.transaction('committing', () => mutedWhenAllAreReady()),
  ]);
  const waited = performance.now() - since;
  const errors = outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason as WeirError);
  assert.deepEqual(
    errors.map(({ code, retry }) => [code, retry]),
    errors.map(() => ['WEIR_TIMEOUT', 'transient']),
  );
  assert.deepEqual(
    errors.map((error) => (error as { inDoubt?: boolean }).inDoubt === true),
    [false, false, true],
  );
  assert.ok(waited < 9_000, `${waited} ms`);
  assert.equal((await silenced.query('asking', 'SELECT 1')).length, 1);
});

test('rows come back bit for bit, at every level', async () => {
  const [id = 0] = await allocateSeries(database, [{ site: 's', device: 'bits', metric: 'm', unit: 'C' }]);
  const panes = [
    pane(T0, [0.1]),
    pane(T0 + 1_000, [-0, 5e-324]),
    pane(T0 + 2_000, [1.7976931348623157e308, 1.7976931348623157e308, -3, 0.1 + 0.2]),
    pane(946_684_800_000, [1 / 3]),
    pane(253_402_300_799_000, [7, 8, 9]),
  ];
  await write(
    0,
    panes.map((one) => [id, one]),
  );
  const back = await loadWindows(database, 0, [{ seriesId: id, from: 0, to: 3e14 }]);
  const sorted = [...panes].sort((a, b) => a.start - b.start);
  assert.deepEqual(
    back.map((row) => figuresOf(row.figures)),
    sorted.map(figuresOf),
  );
  for (let level = 1; level < LEVELS.length; level++) {
    const window = over(T0 - (T0 % (LEVEL_MS[level] as number)), panes.slice(0, 2));
    await write(level, [[id, window]]);
    const [stored] = await loadWindows(database, level, [{ seriesId: id, from: 0, to: 3e14 }]);
    assert.deepEqual(figuresOf(stored!.figures), figuresOf(window));
  }
});

test('an added row that exists fails the transaction; a changed one merges and raises the revision', async () => {
  const [id = 0] = await allocateSeries(database, [
    { site: 's', device: 'again', metric: 'm', unit: undefined },
  ]);
  await write(0, [[id, pane(T0, [1])]]);
  await assert.rejects(write(0, [[id, pane(T0, [1])]]), (error: unknown) => sqlState(error) === '23505');
  await write(
    0,
    [],
    [
      [id, pane(T0, [1, 2])],
      [id, pane(T0 + 1_000, [5])],
    ],
  );
  await write(0, [], [[id, pane(T0, [1, 2, 3])]]);
  const rows = await database.query<{ count: number; revision: number; sum: number }>(
    'asking',
    'SELECT count, sum, revision FROM windows_1s WHERE series_id = $1 ORDER BY ts',
    [id],
  );
  assert.deepEqual(rows, [
    { count: 3, sum: 6, revision: 2 },
    { count: 1, sum: 5, revision: 0 },
  ]);
});

test('series keep their keys, whoever asks and in whatever order', async () => {
  const name = (device: string) => ({ site: 's', device, metric: 'm', unit: undefined });
  const [a, b] = await Promise.all([
    allocateSeries(database, [name('k1'), name('k2')]),
    allocateSeries(database, [name('k2'), name('k3')]),
  ]);
  assert.equal(a[1], b[0]);
  const again = await allocateSeries(database, [name('k3'), name('k1')]);
  assert.deepEqual(again, [b[1], a[0]]);
});

test('partitions that wait for their series at the same time get theirs, whole', async () => {
  const names = Array.from({ length: 10_500 }, (_, i) => ({
    ...{ site: 'loads', device: `loads-${i}`, metric: 'm', unit: undefined },
  }));
  await allocateSeries(database, names);
  const loads = new SeriesLoads();
  const ends = (digit: string) => (device: string) => device.startsWith('loads-') && device.endsWith(digit);
  const found = await Promise.all(['1', '2', '2'].map((digit) => loads.load(database, ends(digit))));
  for (const [i, digit] of ['1', '2', '2'].entries())
    assert.deepEqual(
      found[i]?.map(({ device }) => device).sort(),
      names
        .map(({ device }) => device)
        .filter(ends(digit))
        .sort(),
    );
});

test('a replaced owner writes nothing', async () => {
  const first = await claimPartition(database, 'fence', 3, 'one');
  const at = (nextOffset: bigint) => ({ nextOffset, replayOffset: 0n, sources: { 'e/s': 7 } });
  const move = { partition: 3, epoch: first.epoch, writes: 0n, expected: 0n, position: at(10n) };
  await movePartitions(database, 'fence', [move]);
  assert.equal(await areMoved(database, 'fence', [move]), true);
  // A transaction that did not move the log is told from its repetition all the same.
  const idle = { ...move, writes: 1n, expected: 10n };
  assert.equal(await areMoved(database, 'fence', [idle]), false);
  await movePartitions(database, 'fence', [idle]);
  assert.equal(await areMoved(database, 'fence', [idle]), true);
  await assert.rejects(movePartitions(database, 'fence', [idle]), FencedError);
  const second = await claimPartition(database, 'fence', 3, 'two');
  assert.deepEqual(second, { epoch: first.epoch + 1n, writes: 2n, position: at(10n) });
  const late = { partition: 3, epoch: first.epoch, writes: 2n, expected: 10n, position: at(20n) };
  await assert.rejects(
    movePartitions(database, 'fence', [late]),
    (error: unknown) => error instanceof FencedError && error.partitions.join() === '3',
  );
  const skipped = { partition: 3, epoch: second.epoch, writes: 2n, expected: 9n, position: at(20n) };
  await assert.rejects(movePartitions(database, 'fence', [skipped]), FencedError);
  assert.equal(await areMoved(database, 'fence', [late]), false);
});

test('what a restart loads is the open windows and their children', async () => {
  const [id = 0] = await allocateSeries(database, [
    { site: 's', device: 'open', metric: 'm', unit: undefined },
  ]);
  const hour = T0 - (T0 % 3_600_000);
  const panes = Array.from({ length: 25 }, (_, i) => pane(hour + i * 1_000, [i]));
  await write(
    0,
    panes.map((one) => [id, one]),
  );
  await write(1, [
    [id, over(hour, panes.slice(0, 10))],
    [id, over(hour + 10_000, panes.slice(10, 20))],
  ]);
  const stored = (await loadSeries(database)).filter((series) => series.id === id);
  const [restored] = await loadOpenWindows(database, stored, 2_000);
  assert.equal(restored?.newest, hour + 24_000);
  // watermark 22 s: the window of 20 s is open, and needs its panes; the minute is open, and needs its windows
  assert.deepEqual(
    restored?.rows.map((row) => [row.level, (row.figures.start - hour) / 1_000]),
    [
      [0, 20],
      [0, 21],
      [0, 22],
      [0, 23],
      [0, 24],
      [1, 0],
      [1, 10],
    ],
  );
});

test('the read model pages devices and knows mean, deviation and what is final', async () => {
  const queries = openQueries(database, { allowedLatenessMs: 10_000, outOfOrdernessMs: 2_000 });
  const devices = ['r1', 'r2', 'r3'];
  const ids = await allocateSeries(
    database,
    devices.map((device) => ({ site: 'read', device, metric: 'm', unit: 'C' })),
  );
  const start = T0 - (T0 % 10_000);
  const panes = Array.from({ length: 30 }, (_, i) => pane(start + i * 1_000, [i, i + 1]));
  await write(
    0,
    panes.map((one) => [ids[0]!, one]),
  );
  await write(
    1,
    [0, 10, 20].map((i) => [ids[0]!, over(start + i * 1_000, panes.slice(i, i + 10))]),
  );
  const page = await queries.listDevices({ site: 'read', limit: 2 });
  assert.deepEqual(
    page.devices.map((one) => one.device),
    ['r1', 'r2'],
  );
  const rest = await queries.listDevices({
    site: 'read',
    limit: 2,
    ...(page.next === undefined ? {} : { after: page.next }),
  });
  assert.deepEqual([rest.devices.map((one) => one.device), rest.next], [['r3'], undefined]);
  await assert.rejects(queries.listDevices({ limit: 2, after: 'x' }), /page cursor/);
  const [latest] = await queries.latest('r1');
  assert.deepEqual([latest?.value, latest?.ts.getTime(), latest?.unit], [30, start + 29_001, 'C']);
  assert.deepEqual(await queries.latest('r2'), []);
  const [state] = await queries.seriesState('r1', undefined, 'm');
  assert.ok(state !== undefined);
  assert.deepEqual([state.watermark - start, state.finalTo - start], [27_000, 17_000]);
  const rows = await queries.windows(ids[0]!, { level: '10s', from: start, to: start + 60_000, limit: 10 });
  assert.deepEqual(
    rows.map(({ figures }) => [figures.start - start, figures.count, meanOf(figures)]),
    [
      [0, 20, 5],
      [10_000, 20, 15],
      [20_000, 20, 25],
    ],
  );
  const values = panes.slice(0, 10).flatMap((_, i) => [i, i + 1]);
  const exact = Math.sqrt(values.reduce((sum, value) => sum + (value - 5) ** 2, 0) / 19);
  assert.ok(Math.abs(stddevOf(rows[0]!.figures) - exact) < 1e-12);
  assert.ok(Math.abs(rows[0]!.figures.p50 - 5) <= 0.05);
});
