import { WeirError } from '@weir/flow';
import { LEVELS, type LevelName } from '@weir/topology';
import type { Runner } from './database.ts';
import { newestPane } from './kept.ts';

/** A device that has sent at least one reading. */
export interface DeviceSummary {
  readonly site: string;
  readonly device: string;
  readonly metrics: readonly string[];
  /** When Weir first saw it. */
  readonly createdAt: Date;
}

export interface DevicePage {
  readonly devices: readonly DeviceSummary[];
  /** Pass as `after` to get the next page; absent on the last one. */
  readonly next?: string;
}

/** The newest value of one metric. */
export interface LatestValue {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly unit: string | null;
  /** Event time of the value. */
  readonly ts: Date;
  readonly value: number;
}

/** One row of a window level. Figures that overflow a 64-bit float are null. */
export interface WindowRow {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly level: LevelName;
  /** Start, inclusive. */
  readonly start: Date;
  /** End, exclusive. */
  readonly end: Date;
  readonly count: number;
  readonly sum: number | null;
  readonly min: number;
  readonly max: number;
  readonly mean: number | null;
  /** Sample standard deviation (n - 1); null for a single reading. */
  readonly stddev: number | null;
  readonly first: number;
  readonly last: number;
  readonly firstTs: Date;
  readonly lastTs: Date;
  /** Within 1 % of the exact quantile; null at level 1s. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  /** How often the row was rewritten after it was first stored. */
  readonly revision: number;
  /** True when no reading can change the row any more: the device's watermark passed end + allowed lateness. */
  readonly isFinal: boolean;
}

export interface DevicesQuery {
  readonly site?: string;
  /** Only devices whose id begins with this. */
  readonly prefix?: string;
  /** From `DevicePage.next`. */
  readonly after?: string;
  /** 1..1000 */
  readonly limit: number;
}

export interface WindowsQuery {
  readonly device: string;
  /** Needed when two sites have a device of the same id. */
  readonly site?: string;
  readonly metric: string;
  readonly level: LevelName;
  /** Inclusive. */
  readonly from: Date;
  /** Exclusive. */
  readonly to: Date;
  /** 1..10000, oldest first. */
  readonly limit: number;
}

/** The read model of gateway and command line. Every call throws `WeirError` (transient: the database is away). */
export interface Queries {
  /** By site, then device id. */
  listDevices(query: DevicesQuery): Promise<DevicePage>;
  /** Newest value of every metric; empty when the device is not known. */
  latest(device: string, site?: string): Promise<readonly LatestValue[]>;
  windows(query: WindowsQuery): Promise<readonly WindowRow[]>;
}

export interface QueryOptions {
  /** `aggregator.allowedLateness`, milliseconds. */
  readonly allowedLatenessMs: number;
  /** `aggregator.outOfOrderness`, milliseconds. */
  readonly outOfOrdernessMs: number;
}

/** Opens the read model on a database; both settings decide when a window is final. */
export function openQueries(database: Runner, options: QueryOptions): Queries {
  return {
    listDevices: (query) => listDevices(database, query),
    latest: (device, site) => latest(database, device, site),
    windows: (query) => windows(database, options, query),
  };
}

async function listDevices(database: Runner, query: DevicesQuery): Promise<DevicePage> {
  const [afterSite, afterDevice] = query.after === undefined ? [null, null] : parseCursor(query.after);
  const rows = await database.query<DeviceSummary & Record<string, unknown>>(
    'listing devices',
    `SELECT site, device, array_agg(metric ORDER BY metric) AS metrics, min(created_at) AS "createdAt"
       FROM series
      WHERE ($1::text IS NULL OR site = $1) AND starts_with(device, $2)
        AND ($3::text IS NULL OR (site, device) > ($3, $4))
      GROUP BY site, device ORDER BY site, device LIMIT $5`,
    [query.site ?? null, query.prefix ?? '', afterSite, afterDevice, query.limit + 1],
  );
  const devices = rows.slice(0, query.limit);
  const last = devices.at(-1);
  if (rows.length <= query.limit || last === undefined) return { devices };
  return { devices, next: Buffer.from(JSON.stringify([last.site, last.device])).toString('base64url') };
}

function parseCursor(text: string): [string, string] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (Array.isArray(parsed) && typeof parsed[0] === 'string' && typeof parsed[1] === 'string')
      return [parsed[0], parsed[1]];
  } catch {
    // refused below
  }
  throw new WeirError('WEIR_REJECTED', 'data', 'the page cursor is not one that this server gave out');
}

function latest(database: Runner, device: string, site: string | undefined): Promise<readonly LatestValue[]> {
  return database.query<LatestValue & Record<string, unknown>>(
    `reading the latest values of ${device}`,
    `SELECT s.site, s.device, s.metric, s.unit, w.last_ts AS ts, w.last AS value FROM series s
      CROSS JOIN LATERAL (${newestPane('ts, last_ts, last', 's.series_id')}) w
      WHERE s.device = $1 AND ($2::text IS NULL OR s.site = $2) ORDER BY s.site, s.metric`,
    [device, site ?? null],
  );
}

type Stored = Omit<WindowRow, 'level' | 'end' | 'mean' | 'stddev' | 'isFinal' | 'sum'> & {
  readonly sum: number;
  readonly m2: number;
  readonly newest: Date;
};

async function windows(
  database: Runner,
  options: QueryOptions,
  query: WindowsQuery,
): Promise<readonly WindowRow[]> {
  const level = LEVELS.find(({ name }) => name === query.level) as (typeof LEVELS)[number];
  const quantiles =
    level.seconds === 1
      ? 'NULL::float8 AS p50, NULL::float8 AS p90, NULL::float8 AS p99'
      : 'w.p50, w.p90, w.p99';
  const rows = await database.query<Stored & Record<string, unknown>>(
    `reading windows of ${query.device}`,
    `WITH device AS (SELECT series_id, site, device, metric FROM series
                      WHERE device = $1 AND ($2::text IS NULL OR site = $2))
     SELECT s.site, s.device, s.metric, w.ts AS start, w.count, w.sum, w.min, w.max, w.m2, w.first, w.last,
            w.first_ts AS "firstTs", w.last_ts AS "lastTs", ${quantiles}, w.revision, d.newest
       FROM device s
       CROSS JOIN LATERAL (SELECT max(n.ts) AS newest FROM device o CROSS JOIN LATERAL
         (${newestPane('ts', 'o.series_id')}) n
         WHERE o.site = s.site) d
       CROSS JOIN LATERAL (SELECT * FROM ${level.table} t
         WHERE t.series_id = s.series_id AND t.ts >= $4 AND t.ts < $5 ORDER BY t.ts LIMIT $6) w
      WHERE s.metric = $3 ORDER BY w.ts, s.site LIMIT $6`,
    [query.device, query.site ?? null, query.metric, query.from, query.to, query.limit],
  );
  return rows.map(({ m2, newest, ...row }) => {
    const end = row.start.getTime() + level.seconds * 1_000;
    const watermark = newest.getTime() - options.outOfOrdernessMs;
    return {
      ...row,
      level: level.name,
      end: new Date(end),
      sum: finite(row.sum),
      mean: finite(row.sum / row.count),
      stddev: row.count < 2 ? null : finite(Math.sqrt(m2 / (row.count - 1))),
      isFinal: end + options.allowedLatenessMs <= watermark,
    };
  });
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
