import { WeirError } from '@weir/flow';
import { LEVELS, type LevelName } from '@weir/topology';
import { type FiguresRead, levelIndex, WindowMerger } from '@weir/windows';
import type { Runner } from './database.ts';
import { newestPane } from './kept.ts';
import {
  type Piece,
  type PieceRow,
  type QueryOptions,
  type ReadRecord,
  readColumns,
  readFigures,
  readPieces,
  readSeriesState,
  type SeriesState,
  toPieceRow,
} from './series-queries.ts';
import { type DeviceState, readSummaries, type SummaryQuery } from './summary.ts';
import { STATE } from './windows.ts';

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

/** A stored window. */
export interface WindowRow {
  readonly figures: FiguresRead;
  /** How often the row was rewritten after it was first stored. */
  readonly revision: number;
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
  readonly level: LevelName;
  /** Start of the first window, epoch milliseconds, inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** 1..10001 */
  readonly limit: number;
}

/** The read model of gateway and command line. Every call throws `WeirError` (transient: the database is away). */
export interface Queries {
  /** By site, then device id. */
  listDevices(query: DevicesQuery): Promise<DevicePage>;
  /** Newest value of every metric; empty when the device is not known. */
  latest(device: string, site?: string): Promise<readonly LatestValue[]>;
  /** One for each site that has a device of this name, at most 20; only `site` when it is given. */
  seriesState(device: string, site: string | undefined, metric: string): Promise<readonly SeriesState[]>;
  /** Windows of one series, oldest first. */
  windows(seriesId: number, query: WindowsQuery): Promise<readonly WindowRow[]>;
  /** Windows of one series in these pieces, by start, in one snapshot of the database. */
  pieces(seriesId: number, pieces: readonly Piece[]): Promise<readonly PieceRow[]>;
  /** All that is known of a device now, in one round trip: for each site that has one of this name, at most 20. */
  summaries(query: SummaryQuery): Promise<readonly DeviceState[]>;
}

/** Opens the read model on a database; both settings decide when a window is final. */
export function openQueries(database: Runner, options: QueryOptions): Queries {
  return {
    listDevices: (query) => listDevices(database, query),
    latest: (device, site) => latest(database, device, site),
    seriesState: (device, site, metric) => readSeriesState(database, options, device, site, metric),
    windows: (seriesId, query) => windows(database, seriesId, query),
    pieces: (seriesId, pieces) => readPieces(database, seriesId, pieces),
    summaries: (query) => readSummaries(database, options, query),
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

async function windows(
  database: Runner,
  seriesId: number,
  { level, from, to, limit }: WindowsQuery,
): Promise<readonly WindowRow[]> {
  const index = levelIndex(level);
  const { table } = LEVELS[index] as (typeof LEVELS)[number];
  const rows = await database.query<ReadRecord & { revision: number } & Record<string, unknown>>(
    `reading windows of series ${seriesId}`,
    `SELECT ${STATE}, ${readColumns(index, false)}, w.revision FROM ${table} w
      WHERE w.series_id = $1 AND w.ts >= to_timestamp($2::float8 / 1000) AND w.ts < to_timestamp($3::float8 / 1000)
      ORDER BY w.ts LIMIT $4`,
    [seriesId, from, to, limit],
  );
  const merger = new WindowMerger();
  return rows.map((row) => ({
    figures: readFigures(merger, row.start, [toPieceRow(row)]),
    revision: row.revision,
  }));
}
