import { LEVELS } from '@weir/topology';
import { alignDown, type Figures, LEVEL_MS, openFloors, type RestoredSeries, Sketch } from '@weir/windows';
import type { Runner, Transaction } from './database.ts';
import { keptToo, newestPane } from './kept.ts';
import { COPY_HEADER, COPY_TRAILER, PANE_COLUMNS, WINDOW_COLUMNS, type WindowRows } from './rows.ts';
import type { StoredSeries } from './series.ts';

const columnsOf = (level: number): string => (level === 0 ? PANE_COLUMNS : WINDOW_COLUMNS);

function upsert(level: number): string {
  const { table } = LEVELS[level] as (typeof LEVELS)[number];
  const columns = columnsOf(level);
  const sets = columns
    .split(', ')
    .filter((column) => column !== 'ts' && column !== 'series_id')
    .map((column) => `${column} = EXCLUDED.${column}`);
  return `INSERT INTO ${table} AS w (${columns}) SELECT ${columns} FROM pg_temp.staged_${table}
    ON CONFLICT (series_id, ts) DO UPDATE SET ${sets.join(', ')}, revision = least(w.revision::int + 1, 32767),
      schema_version = DEFAULT`;
}

/**
 * Writes windows that were never written, by COPY BINARY straight into the table of their level, while they come. One
 * that has a row fails the transaction with SQLSTATE 23505.
 */
export async function copyNew(
  transaction: Transaction,
  level: number,
  rows: Iterable<WindowRows> | AsyncIterable<WindowRows>,
): Promise<void> {
  await copyRows(transaction, level, (LEVELS[level] as (typeof LEVELS)[number]).table, rows);
}

/** Sends no statement when there is no row. */
async function copyRows(
  transaction: Transaction,
  level: number,
  into: string,
  rows: Iterable<WindowRows> | AsyncIterable<WindowRows>,
): Promise<void> {
  const chunks = tuplesOf(rows);
  const first = await chunks.next();
  if (first.done === true) return;
  await transaction.copy(
    `writing windows of level ${LEVELS[level]?.name}`,
    `COPY ${into} (${columnsOf(level)}) FROM STDIN (FORMAT binary)`,
    framed(first.value, chunks),
  );
}

async function* tuplesOf(rows: Iterable<WindowRows> | AsyncIterable<WindowRows>): AsyncGenerator<Buffer> {
  for await (const { tuples } of rows) yield* tuples;
}

async function* framed(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield COPY_HEADER;
  yield first;
  yield* rest;
  yield COPY_TRAILER;
}

/**
 * Writes the rows of one level within a transaction: new windows as `copyNew` does, the others by COPY into a
 * temporary table and one upsert that raises `revision`. No window may occur twice.
 */
export async function writeLevel(
  transaction: Transaction,
  level: number,
  added: readonly WindowRows[],
  changed: readonly WindowRows[],
): Promise<void> {
  const { name, table } = LEVELS[level] as (typeof LEVELS)[number];
  await copyNew(transaction, level, added);
  if (changed.every(({ count }) => count === 0)) return;
  const doing = `merging windows of level ${name}`;
  await transaction.query(
    doing,
    `CREATE TEMPORARY TABLE IF NOT EXISTS staged_${table} (LIKE ${table} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS`,
  );
  await copyRows(transaction, level, `pg_temp.staged_${table}`, changed);
  await transaction.query(doing, upsert(level));
}

export interface WindowRecord {
  readonly id: number;
  readonly start: number;
  readonly first_ts: number;
  readonly last_ts: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly m2: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly sketch: Buffer | null;
}

/** SQL of a time as epoch milliseconds. */
export const epochMs = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::float8`;

/** SQL of the columns of a window `w` that `toFigures` takes, all but its sketch. */
export const STATE = `w.series_id AS id, ${epochMs('w.ts')} AS start, ${epochMs('w.first_ts')} AS first_ts,
  ${epochMs('w.last_ts')} AS last_ts, w.sum, w.min, w.max, w.m2, w.first, w.last, w.count`;

export function toFigures(row: WindowRecord): Figures {
  return {
    start: row.start,
    count: row.count,
    sum: row.sum,
    min: row.min,
    max: row.max,
    m2: row.m2,
    first: row.first,
    firstTs: row.first_ts,
    last: row.last,
    lastTs: row.last_ts,
    sketch: row.sketch === null ? null : Sketch.decode(row.sketch),
  };
}

export interface Stretch {
  readonly seriesId: number;
  /** Epoch milliseconds, inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}
export interface StoredWindow {
  readonly seriesId: number;
  readonly figures: Figures;
}

/** Stored windows of one level in these stretches, by series and start. */
export async function loadWindows(
  runner: Runner,
  level: number,
  stretches: readonly Stretch[],
): Promise<StoredWindow[]> {
  if (stretches.length === 0) return [];
  const { name } = LEVELS[level] as (typeof LEVELS)[number];
  const within = `t.series_id = s.id AND t.ts >= to_timestamp(s.low / 1000) AND t.ts < to_timestamp(s.high / 1000)
    AND t.ts >= to_timestamp($4::float8 / 1000) AND t.ts < to_timestamp($5::float8 / 1000)`;
  // The outer bounds are constants to the planner's eye when it runs, so whole chunks are left out at the start.
  const rows = await runner.query<WindowRecord & Record<string, unknown>>(
    `loading windows of level ${name}`,
    `SELECT ${STATE}, w.sketch FROM unnest($1::int[], $2::float8[], $3::float8[]) AS s(id, low, high)
      CROSS JOIN LATERAL (${keptToo(level, PANE_COLUMNS, within)}) w
      ORDER BY w.series_id, w.ts`,
    [
      stretches.map(({ seriesId }) => seriesId),
      stretches.map(({ from }) => from),
      stretches.map(({ to }) => to),
      Math.min(...stretches.map(({ from }) => from)),
      Math.max(...stretches.map(({ to }) => to)),
    ],
  );
  return rows.map((row) => ({ seriesId: row.id, figures: toFigures(row) }));
}

/** Start of the newest stored pane of each series, epoch milliseconds; a series without rows is left out. */
export async function newestPanes(runner: Runner, ids: readonly number[]): Promise<Map<number, number>> {
  if (ids.length === 0) return new Map();
  const rows = await runner.query<{ id: number; newest: number }>(
    'reading the newest windows',
    `SELECT s.id, ${epochMs('w.ts')} AS newest FROM unnest($1::int[]) AS s(id)
      CROSS JOIN LATERAL (${newestPane('ts', 's.id')}) w`,
    [ids],
  );
  return new Map(rows.map(({ id, newest }) => [id, newest]));
}

/** What `PartitionState.restore` needs of these series: their newest pane and the children of open windows. */
export async function loadOpenWindows(
  runner: Runner,
  series: readonly StoredSeries[],
  outOfOrdernessMs: number,
): Promise<RestoredSeries[]> {
  const newest = await newestPanes(
    runner,
    series.map(({ id }) => id),
  );
  const watermarks = new Map<string, number>();
  for (const { id, site, device } of series) {
    const start = newest.get(id);
    if (start === undefined) continue;
    const key = `${site}/${device}`;
    watermarks.set(key, Math.max(watermarks.get(key) ?? Number.NEGATIVE_INFINITY, start - outOfOrdernessMs));
  }
  const stored = series.filter(({ id }) => newest.has(id));
  const rows = new Map<number, { level: number; figures: Figures }[]>(stored.map(({ id }) => [id, []]));
  for (let level = 0; level < LEVEL_MS.length; level++) {
    const stretches = stored.map(({ id, site, device }) => {
      const watermark = watermarks.get(`${site}/${device}`) as number;
      const top = newest.get(id) as number;
      return {
        seriesId: id,
        from: openFloors(watermark)[level] as number,
        to: alignDown(top, LEVEL_MS[level] as number) + 1,
      };
    });
    const open = stretches.filter(({ from, to }) => from < to);
    for (const { seriesId, figures } of await loadWindows(runner, level, open))
      rows.get(seriesId)?.push({ level, figures });
  }
  return stored.map((one) => ({
    ...one,
    newest: newest.get(one.id) as number,
    rows: rows.get(one.id) ?? [],
  }));
}
