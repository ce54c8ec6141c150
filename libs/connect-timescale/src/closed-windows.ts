import { LEVELS, TABLES } from '@weir/topology';
import { type FiguresRead, LEVEL_MS, WindowMerger } from '@weir/windows';
import type { Runner } from './database.ts';
import { newestPane } from './kept.ts';
import {
  type QueryOptions,
  type ReadRecord,
  readColumns,
  readFigures,
  toPieceRow,
} from './series-queries.ts';
import { epochMs, STATE } from './windows.ts';

export interface WatchedSeries {
  readonly seriesId: number;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
}

/** Series of these metrics, by their ids, from the one after `after` on; at most `limit`. */
export function seriesOfMetrics(
  runner: Runner,
  metrics: readonly string[],
  after: number,
  limit: number,
): Promise<WatchedSeries[]> {
  return runner.query<WatchedSeries & Record<string, unknown>>(
    'looking for new series',
    `SELECT series_id AS "seriesId", site, device, metric FROM ${TABLES.series}
      WHERE series_id > $1 AND metric = ANY($2::text[]) ORDER BY series_id LIMIT $3`,
    [after, metrics, limit],
  );
}

/** From where on the windows of a series are wanted. */
export interface WindowsFrom {
  readonly seriesId: number;
  /** Start of the newest window that is known, epoch milliseconds; null: the newest closed one is wanted, no other. */
  readonly after: number | null;
}

/**
 * The closed windows of these series that are not known yet, oldest first, at most `limit` of each series: those that
 * end at or before the watermark of their device, complete but for late readings.
 */
export async function readClosedWindows(
  runner: Runner,
  { outOfOrdernessMs }: Pick<QueryOptions, 'outOfOrdernessMs'>,
  level: number,
  wanted: readonly WindowsFrom[],
  limit: number,
): Promise<readonly { readonly seriesId: number; readonly figures: FiguresRead }[]> {
  if (wanted.length === 0) return [];
  const { table, name } = LEVELS[level] as (typeof LEVELS)[number];
  const rows = await runner.query<ReadRecord & Record<string, unknown>>(
    `reading closed windows of ${name}`,
    `SELECT ${STATE}, ${readColumns(level, false)}
       FROM unnest($1::int[], $2::float8[]) AS wanted (series_id, after_ms)
       JOIN ${TABLES.series} s ON s.series_id = wanted.series_id
       LEFT JOIN ${TABLES.devices} d ON d.site = s.site AND d.device = s.device
      CROSS JOIN LATERAL (${newestPane('ts', 's.series_id')}) n
      CROSS JOIN LATERAL (SELECT greatest(${epochMs('n.ts')} - $3, ${epochMs('d.watermark')}) - $4 AS last_start) m
      CROSS JOIN LATERAL (SELECT * FROM ${table} t
         WHERE t.series_id = s.series_id AND t.ts <= to_timestamp(last_start / 1000)
           AND t.ts > to_timestamp(coalesce(after_ms, last_start - $4) / 1000)
         ORDER BY t.ts LIMIT $5) w
      ORDER BY w.series_id, w.ts`,
    [
      wanted.map(({ seriesId }) => seriesId),
      wanted.map(({ after }) => after),
      outOfOrdernessMs,
      LEVEL_MS[level],
      limit,
    ],
  );
  const merger = new WindowMerger();
  return rows.map((row) => ({
    seriesId: row.id,
    figures: readFigures(merger, row.start, [toPieceRow(row)]),
  }));
}
