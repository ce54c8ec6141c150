import { LEVELS, type LevelName, ROLLUP_LEVELS, TABLES } from '@weir/topology';
import { LEVEL_MS, PANE_MS, TOP } from '@weir/windows';
import type { Database, Runner, Transaction } from './database.ts';
import { readEdition } from './edition.ts';
import { newestPane } from './kept.ts';
import { fenced, type Lease } from './maintenance.ts';
import { PANE_COLUMNS, WINDOW_COLUMNS } from './rows.ts';
import { epochMs } from './windows.ts';

/** How long the rows of one table are kept. */
export interface RetentionRule {
  readonly table: string;
  /** Index among the levels for a table of device windows; null for any other hypertable. */
  readonly level: number | null;
  /** Milliseconds of event time behind now; Infinity: for ever. */
  readonly keepMs: number;
}

export interface RetentionOptions {
  readonly rules: readonly RetentionRule[];
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
  /** Age in milliseconds at which chunks are compressed, where the edition can; Infinity: never. */
  readonly compressAfterMs: number;
}

/** A chunk that retention has dropped, or would drop. */
export interface ExpiredChunk {
  readonly table: string;
  readonly from: Date;
  readonly to: Date;
  readonly bytes: number;
  /** Rows that outlive it, for devices that fell silent. */
  readonly kept: number;
}

/** Where one table stands. */
export interface RetentionStatus {
  readonly table: string;
  readonly keepMs: number;
  /** Windows that start before are expired; null while nothing was dropped. */
  readonly expiredBefore: Date | null;
  readonly chunks: number;
  readonly bytes: number;
  /** Start of the oldest chunk; null when there is none. */
  readonly oldest: Date | null;
  /** Chunks that the next run drops. */
  readonly due: number;
}

interface Chunk {
  readonly table: string;
  /** Quoted name. */
  readonly chunk: string;
  readonly from: Date;
  readonly to: Date;
  readonly bytes: string;
  readonly compressed: boolean;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Whole hours: no window of any level may lie in two chunks, and no hour be half expired. */
const CHUNK_MS = [HOUR_MS, 6 * HOUR_MS, DAY_MS, 5 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS];
/** A writer that holds a chunk for longer is let pass; the next run tries again. */
const LOCK_TIMEOUT_MS = 3_000;

/**
 * Of each series of `of` (series_id, site, device; all series of a device): its newest pane and that of its device.
 * A row of the level's own table and its kept twin have the same time, so either will do.
 */
const newestOf = (of: string): string =>
  `SELECT series_id, newest, max(newest) OVER (PARTITION BY site, device) AS latest
     FROM (SELECT s.series_id, s.site, s.device, n.ts AS newest
             FROM ${of} s LEFT JOIN LATERAL (${newestPane('ts', 's.series_id')}) n ON true) p`;

/**
 * From where on a series needs its rows of one level: the windows of the level above that a reading within the allowed
 * lateness of the device's watermark can still touch, and one more. $1: lateness and more, seconds. A device without
 * a pane needs all its rows.
 * @param size of the level above, seconds, as SQL
 */
const neededFrom = (size: string): string =>
  `coalesce(time_bucket(make_interval(secs => ${size}), n.latest - make_interval(secs => $1))
     - make_interval(secs => ${size}), '-infinity')`;

const seconds = (ms: number): number => ms / 1_000;
/** $1 of `neededFrom`. */
const behind = ({ outOfOrdernessMs, allowedLatenessMs }: RetentionOptions): number =>
  seconds(outOfOrdernessMs + allowedLatenessMs + PANE_MS);

/** Length of a chunk for rows that are kept this long: about a sixth, so that what is kept in excess stays small. */
function chunkMs(keepMs: number): number {
  return CHUNK_MS.findLast((ms) => ms <= keepMs / 6) ?? HOUR_MS;
}

/** The tables whose chunks have no longer the right length get it, for the chunks to come. */
async function alignChunks(database: Database, lease: Lease, rules: readonly RetentionRule[]): Promise<void> {
  const rows = await database.query<{ table: string; ms: number }>(
    'reading the length of chunks',
    `SELECT hypertable_name AS table, ${epochMs('time_interval')} AS ms
       FROM timescaledb_information.dimensions WHERE hypertable_schema = current_schema()`,
  );
  for (const { table, keepMs } of rules) {
    const row = rows.find((one) => one.table === table);
    const wanted = chunkMs(keepMs);
    if (row === undefined || row.ms === wanted) continue;
    await fenced(database, lease, `setting the length of chunks of ${table}`, (transaction) =>
      transaction.query(
        `setting the length of chunks of ${table}`,
        'SELECT set_chunk_time_interval($1::regclass, make_interval(secs => $2))',
        [table, seconds(wanted)],
      ),
    );
  }
}

/** Chunks of these tables, oldest first. */
function readChunks(runner: Runner, tables: readonly string[]): Promise<Chunk[]> {
  return runner.query<Chunk & Record<string, unknown>>(
    'listing chunks',
    `SELECT hypertable_name AS table, format('%I.%I', chunk_schema, chunk_name) AS chunk,
            range_start AS from, range_end AS to, is_compressed AS compressed,
            coalesce(pg_total_relation_size(format('%I.%I', chunk_schema, chunk_name)), 0) AS bytes
       FROM timescaledb_information.chunks
      WHERE hypertable_schema = current_schema() AND hypertable_name = ANY($1) ORDER BY range_start`,
    [tables],
  );
}

/**
 * The time that ages are measured from: now by the database's clock, but never later than the end of the newest chunk
 * of panes. A clock that jumps ahead, or a fleet that fell silent, expires nothing. Null without any pane.
 */
async function reference(runner: Runner): Promise<number | null> {
  const [row] = await runner.query<{ ms: number | null }>(
    'reading the newest chunk of panes',
    `SELECT ${epochMs('least(now(), max(range_end))')} AS ms
       FROM timescaledb_information.chunks
      WHERE hypertable_schema = current_schema() AND hypertable_name = $1`,
    [LEVELS[0].table],
  );
  return row?.ms ?? null;
}

const isDue = (chunk: Chunk, rule: RetentionRule, now: number | null): boolean =>
  now !== null && chunk.to.getTime() <= now - rule.keepMs;

/**
 * Drops every chunk that is past its retention, finest level first, each in a transaction of its own that holds only
 * while the lease does. Rows that a silent device needs to go on exactly where it stopped move to `windows_kept`.
 * A chunk that a writer holds is left for the next run.
 * @param onDropped told of each chunk that is gone
 */
export async function expireWindows(
  database: Database,
  lease: Lease,
  options: RetentionOptions,
  onDropped: (chunk: ExpiredChunk) => void,
): Promise<void> {
  const { rules } = options;
  await alignChunks(database, lease, rules);
  const now = await reference(database);
  const chunks = await readChunks(
    database,
    rules.map(({ table }) => table),
  );
  for (const rule of rules) {
    for (const chunk of chunks) {
      if (chunk.table !== rule.table || !isDue(chunk, rule, now)) continue;
      lease.lost.throwIfAborted();
      const kept = await fenced(database, lease, `dropping a chunk of ${rule.table}`, (transaction) =>
        dropChunk(transaction, chunk, rule, options),
      );
      onDropped({ ...chunk, bytes: Number(chunk.bytes), kept });
    }
  }
  await forgetKept(database, lease, options);
  await compress(database, lease, chunks, options, now);
  await fenced(database, lease, 'finishing a run of retention', (transaction) =>
    transaction.query(
      'finishing a run of retention',
      `UPDATE ${TABLES.maintenance} SET succeeded_at = now() WHERE job = $1`,
      [lease.job],
    ),
  );
}

async function dropChunk(
  transaction: Transaction,
  { table, chunk, from, to, bytes }: Chunk,
  { level }: RetentionRule,
  options: RetentionOptions,
): Promise<number> {
  const doing = `dropping chunk ${chunk} of ${table}`;
  await transaction.query(doing, `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
  // A writer that is in the chunk ends first, so that what it wrote is seen below.
  await transaction.query(doing, `LOCK TABLE ${chunk} IN ACCESS EXCLUSIVE MODE`);
  const kept = level === null || level === TOP ? 0 : await keepRows(transaction, chunk, to, level, options);
  await transaction.query(
    doing,
    'SELECT drop_chunks($1::regclass, older_than => $2::timestamptz, newer_than => $3::timestamptz)',
    [table, to, from],
  );
  await transaction.query(
    doing,
    `INSERT INTO ${TABLES.retention} AS r (table_name, expired_before, dropped_chunks, dropped_bytes, changed_at)
     VALUES ($1, $2, 1, $3, now())
     ON CONFLICT (table_name) DO UPDATE SET expired_before = greatest(r.expired_before, EXCLUDED.expired_before),
       dropped_chunks = r.dropped_chunks + 1, dropped_bytes = r.dropped_bytes + EXCLUDED.dropped_bytes,
       changed_at = now()`,
    [table, to, bytes],
  );
  return kept;
}

async function keepRows(
  transaction: Transaction,
  chunk: string,
  to: Date,
  level: number,
  options: RetentionOptions,
): Promise<number> {
  const own = level === 0 ? PANE_COLUMNS : WINDOW_COLUMNS;
  const columns = `${own}, revision, schema_version`.split(', ');
  const changing = columns.filter((column) => column !== 'ts' && column !== 'series_id');
  // Of panes the newest of each series too: the latest value of a metric that its device no longer sends.
  const needed = neededFrom(String(seconds(LEVEL_MS[level + 1] as number)));
  const from = level === 0 ? `least(${needed}, n.newest)` : needed;
  const [row] = await transaction.query<{ n: number }>(
    `keeping rows of chunk ${chunk}`,
    `WITH needs AS MATERIALIZED (SELECT n.series_id, ${from} AS from FROM (${newestOf(TABLES.series)}) n), kept AS (
       INSERT INTO ${TABLES.windowsKept} (level, ${columns.join(', ')})
       SELECT $2::smallint, ${columns.map((column) => `c.${column}`).join(', ')} FROM needs n
        CROSS JOIN LATERAL (SELECT * FROM ${chunk} c WHERE c.series_id = n.series_id AND c.ts >= n.from) c
        WHERE n.from < $3::timestamptz
       ON CONFLICT (series_id, level, ts) DO UPDATE SET ${changing.map((column) => `${column} = EXCLUDED.${column}`).join(', ')}
       RETURNING 1)
     SELECT count(*)::int AS n FROM kept`,
    [behind(options), level, to],
  );
  return row?.n ?? 0;
}

/** Kept rows of devices that went on are needed no longer. */
async function forgetKept(database: Database, lease: Lease, options: RetentionOptions): Promise<void> {
  const doing = 'removing kept rows that are needed no longer';
  const devices = `(SELECT series_id, site, device FROM ${TABLES.series} JOIN (
    SELECT DISTINCT site, device FROM ${TABLES.series} JOIN ${TABLES.windowsKept} USING (series_id)) d USING (site, device))`;
  const sizes = LEVEL_MS.slice(1).map((ms, level) => `(${level}::smallint, ${seconds(ms)})`);
  const needed = neededFrom('l.size');
  await fenced(database, lease, doing, (transaction) =>
    transaction.query(
      doing,
      `DELETE FROM ${TABLES.windowsKept} k
        USING (${newestOf(devices)}) n, (VALUES ${sizes.join(', ')}) AS l(level, size)
        WHERE k.level = l.level AND k.series_id = n.series_id
          AND k.ts < CASE l.level WHEN 0 THEN least(${needed}, n.newest) ELSE ${needed} END`,
      [behind(options)],
    ),
  );
}

/** In the edition that can: chunks that no reading within the allowed lateness of a live device changes any more. */
async function compress(
  database: Database,
  lease: Lease,
  chunks: readonly Chunk[],
  { rules, compressAfterMs, allowedLatenessMs }: RetentionOptions,
  now: number | null,
): Promise<void> {
  if (now === null || (await readEdition(database)).license !== 'timescale') return;
  const before = now - Math.max(compressAfterMs, allowedLatenessMs + HOUR_MS);
  for (const rule of rules) {
    const due = chunks.filter(
      (chunk) =>
        chunk.table === rule.table &&
        !chunk.compressed &&
        chunk.to.getTime() <= before &&
        !isDue(chunk, rule, now),
    );
    if (rule.level === null || due.length === 0) continue;
    for (const { table, chunk } of due) {
      const doing = `compressing chunk ${chunk} of ${table}`;
      await fenced(database, lease, doing, async (transaction) => {
        await transaction.query(doing, `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        await transaction.query(
          doing,
          `ALTER TABLE ${table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',
             timescaledb.compress_orderby = 'ts')`,
        );
        await transaction.query(doing, 'SELECT compress_chunk($1::regclass, if_not_compressed => true)', [
          chunk,
        ]);
      });
    }
  }
}

/** Where each table stands, without changing anything. */
export async function readRetention(
  runner: Runner,
  rules: readonly RetentionRule[],
): Promise<readonly RetentionStatus[]> {
  const now = await reference(runner);
  const tables = rules.map(({ table }) => table);
  const chunks = await readChunks(runner, tables);
  const expired = await readExpiry(runner);
  return rules.map((rule) => {
    const own = chunks.filter(({ table }) => table === rule.table);
    return {
      table: rule.table,
      keepMs: rule.keepMs,
      expiredBefore: expired.get(rule.table) ?? null,
      chunks: own.length,
      bytes: own.reduce((sum, { bytes }) => sum + Number(bytes), 0),
      oldest: own[0]?.from ?? null,
      due: own.filter((chunk) => isDue(chunk, rule, now)).length,
    };
  });
}

/** By table, the time before which its windows are expired; a table that never lost a chunk is left out. */
export async function readExpiry(runner: Runner): Promise<ReadonlyMap<string, Date>> {
  const rows = await runner.query<{ table: string; before: Date }>(
    'reading what is expired',
    `SELECT table_name AS table, expired_before AS before FROM ${TABLES.retention}`,
  );
  return new Map(rows.map(({ table, before }) => [table, before]));
}

/** The rules of device windows and of roll-ups, which are kept as long as the windows of their level. */
export function windowRules(keepMs: Readonly<Record<LevelName, number>>): readonly RetentionRule[] {
  return [
    ...LEVELS.map(({ name, table }, level) => ({ table, level, keepMs: keepMs[name] })),
    ...ROLLUP_LEVELS.map(({ name, table }) => ({ table, level: null, keepMs: keepMs[name] })),
  ];
}
