import { LEVELS, type LevelName, TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** The window of one level that holds a moment of a series. */
export interface TracedWindow {
  readonly metric: string;
  readonly level: LevelName;
  readonly start: Date;
  /** The rest is null when there is no row. */
  readonly count: number | null;
  readonly mean: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly revision: number | null;
  /** Rows of this time are dropped by retention. */
  readonly expired: boolean;
}

/** The windows at all levels that hold `ts` (epoch milliseconds), for these metrics of a device; by metric and level. */
export function windowsAt(
  runner: Runner,
  site: string,
  device: string,
  metrics: readonly string[],
  ts: number,
): Promise<TracedWindow[]> {
  const levels = LEVELS.map(
    ({ name, seconds, table }, place) => `
      SELECT s.metric, '${name}' AS level, ${place} AS place, t.start, w.count, w.sum / w.count AS mean, w.min, w.max,
             w.revision, EXISTS (SELECT FROM ${TABLES.retention} r
                                  WHERE r.table_name = '${table}' AND r.expired_before > t.start) AS expired
        FROM s CROSS JOIN LATERAL (SELECT to_timestamp(floor($4::float8 / ${seconds * 1_000}) * ${seconds}) AS start) t
        LEFT JOIN ${table} w ON w.series_id = s.series_id AND w.ts = t.start`,
  );
  return runner.query<TracedWindow & Record<string, unknown>>(
    `reading the windows of ${device}`,
    `WITH s AS (SELECT series_id, metric FROM ${TABLES.series} WHERE site = $1 AND device = $2 AND metric = ANY($3))
     SELECT metric, level, start, count, mean, min, max, revision, expired
       FROM (${levels.join(' UNION ALL ')}) AS windows ORDER BY metric, place`,
    [site, device, metrics, ts],
  );
}

/** An alert that was open at a moment. */
export interface TracedAlert {
  readonly id: string;
  readonly rule: string;
  readonly metric: string;
  readonly severity: string;
  readonly state: string;
  readonly startedAt: Date;
  readonly resolvedAt: Date | null;
}

/** The alerts of a device that its readings of `ts` (event time, epoch milliseconds) began, held or ended. */
export function alertsAt(runner: Runner, site: string, device: string, ts: number): Promise<TracedAlert[]> {
  return runner.query<TracedAlert & Record<string, unknown>>(
    `reading the alerts of ${device}`,
    `SELECT id, rule, metric, severity, state, started_at AS "startedAt", resolved_at AS "resolvedAt"
       FROM ${TABLES.alerts} WHERE site = $1 AND device = $2 AND started_at <= to_timestamp($3::float8 / 1000)
        AND (resolved_at IS NULL OR resolved_at >= to_timestamp($3::float8 / 1000)) ORDER BY started_at LIMIT 20`,
    [site, device, ts],
  );
}

/** First offset of a partition whose readings are not in the windows; null when nobody has ever claimed it. */
export async function foldedTo(runner: Runner, topic: string, partition: number): Promise<bigint | null> {
  const [row] = await runner.query<{ next: string }>(
    'reading how far the windows are',
    `SELECT next_offset AS next FROM ${TABLES.partitionOffsets} WHERE topic = $1 AND partition = $2`,
    [topic, partition],
  );
  return row === undefined ? null : BigInt(row.next);
}
