import { LEVELS, TABLES } from '@weir/topology';
import type { Figures, FiguresRead, WindowMerger } from '@weir/windows';
import type { Runner } from './database.ts';
import { newestPane } from './kept.ts';
import { epochMs, STATE, toFigures, type WindowRecord } from './windows.ts';

export interface QueryOptions {
  /** `aggregator.allowedLateness`, milliseconds. */
  readonly allowedLatenessMs: number;
  /** `aggregator.outOfOrderness`, milliseconds. */
  readonly outOfOrdernessMs: number;
}

/** How far the windows of a device are. Event times, epoch milliseconds; -Infinity before its first reading. */
export interface Progress {
  /** Windows that end at or before it are stored at every level, and complete but for late readings. */
  readonly watermark: number;
  /** Windows that end at or before it are changed by a replay of dead letters only. */
  readonly finalTo: number;
}

/** A device at one site, with one of its series, as a question about a time range needs it. */
export interface SeriesState extends Progress {
  readonly site: string;
  /** Null when the device never sent this metric. */
  readonly seriesId: number | null;
  readonly unit: string | null;
  /** By level, epoch milliseconds: windows that start before are expired; -Infinity while none is. */
  readonly expiredBefore: readonly number[];
}

/** A stretch of time that is read from one level. Epoch milliseconds. */
export interface Piece {
  /** Index among the levels. */
  readonly level: number;
  /** Inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** The windows are going to be merged, so that their quantiles alone do not do. */
  readonly merged: boolean;
}

/** A stored window: with its quantiles, or with what they are computed from. */
export interface PieceRow {
  readonly figures: Figures;
  readonly quantiles: readonly [p50: number, p90: number, p99: number] | null;
}

/**
 * @param newest start of the newest pane of the device, epoch milliseconds. Every commit stores all rows up to the
 * watermark that follows from the newest pane it stores.
 */
export function progressOf(newest: number | null, options: QueryOptions): Progress {
  const watermark = newest === null ? Number.NEGATIVE_INFINITY : newest - options.outOfOrdernessMs;
  return { watermark, finalTo: watermark - options.allowedLatenessMs };
}

/** See `Queries.seriesState`. */
export async function readSeriesState(
  runner: Runner,
  options: QueryOptions,
  device: string,
  site: string | undefined,
  metric: string,
): Promise<SeriesState[]> {
  const rows = await runner.query<{
    site: string;
    seriesId: number | null;
    unit: string | null;
    newest: number | null;
    expired: Record<string, number> | null;
  }>(
    `finding ${metric} of ${device}`,
    `SELECT s.site, max(s.series_id) FILTER (WHERE s.metric = $3) AS "seriesId",
            max(s.unit) FILTER (WHERE s.metric = $3) AS unit, max(${epochMs('n.ts')}) AS newest,
            (SELECT json_object_agg(table_name, ${epochMs('expired_before')}) FROM ${TABLES.retention}) AS expired
       FROM ${TABLES.series} s LEFT JOIN LATERAL (${newestPane('ts', 's.series_id')}) n ON true
      WHERE s.device = $1 AND ($2::text IS NULL OR s.site = $2)
      GROUP BY s.site ORDER BY s.site LIMIT 20`,
    [device, site ?? null, metric],
  );
  return rows.map(({ expired, newest, ...row }) => ({
    ...row,
    ...progressOf(newest, options),
    expiredBefore: LEVELS.map(({ table }) => expired?.[table] ?? Number.NEGATIVE_INFINITY),
  }));
}

export type ReadRecord = WindowRecord & { readonly quantiles: PieceRow['quantiles'] };

/** SQL of what a window `w` of this level has its quantiles from, beside `STATE`. */
export function readColumns(level: number, merged: boolean): string {
  return level > 0 && !merged
    ? 'NULL::bytea AS sketch, ARRAY[w.p50, w.p90, w.p99] AS quantiles'
    : 'w.sketch, NULL::float8[] AS quantiles';
}

export const toPieceRow = (row: ReadRecord): PieceRow => ({
  figures: toFigures(row),
  quantiles: row.quantiles,
});

/** See `Queries.pieces`. */
export async function readPieces(
  runner: Runner,
  seriesId: number,
  pieces: readonly Piece[],
): Promise<PieceRow[]> {
  if (pieces.length === 0) return [];
  const values: unknown[] = [seriesId];
  const time = (ms: number): string => `to_timestamp($${values.push(ms)}::float8 / 1000)`;
  const texts = pieces.map(
    ({ level, from, to, merged }) =>
      `SELECT ${STATE}, ${readColumns(level, merged)} FROM ${(LEVELS[level] as (typeof LEVELS)[number]).table} w
        WHERE w.series_id = $1 AND w.ts >= ${time(from)} AND w.ts < ${time(to)}`,
  );
  const rows = await runner.query<ReadRecord & Record<string, unknown>>(
    `reading windows of series ${seriesId}`,
    `${texts.join(' UNION ALL ')} ORDER BY start`,
    values,
  );
  return rows.map(toPieceRow);
}

/**
 * The figures of stored windows as those of one window.
 * @param start of that window
 * @param rows by start, not overlapping, at least one; several only when they were read to be merged
 */
export function readFigures(merger: WindowMerger, start: number, rows: readonly PieceRow[]): FiguresRead {
  const only = rows.length === 1 ? (rows[0] as PieceRow) : null;
  if (only !== null && only.quantiles !== null) {
    const [p50, p90, p99] = only.quantiles;
    const { sketch: _, ...figures } = only.figures;
    return { ...figures, start, p50, p90, p99 };
  }
  return merger.merge(
    start,
    rows.map(({ figures }) => figures),
  );
}
