import { LEVELS, type LevelName, TABLES } from '@weir/topology';
import { alignDown, type FiguresRead, LEVEL_MS, levelIndex, Sketch, WindowMerger } from '@weir/windows';
import { ALERT_COLUMNS, type AlertRow } from './alerts.ts';
import type { Runner } from './database.ts';
import { DEVICE_FACTS, type DeviceFacts } from './devices.ts';
import { newestPane } from './kept.ts';
import {
  type PieceRow,
  type Progress,
  progressOf,
  type QueryOptions,
  readFigures,
} from './series-queries.ts';
import { epochMs } from './windows.ts';

export interface SummaryQuery {
  readonly device: string;
  readonly site: string | undefined;
  /** Whose windows are wanted; at least one. */
  readonly levels: readonly LevelName[];
}

/** Windows of one metric at one level. */
export interface LevelState {
  readonly level: LevelName;
  /** The one that the newest reading of the device is in, as far as it is known; null: this metric has none in it. */
  readonly current: FiguresRead | null;
  /** The newest one that ended at or before the watermark. */
  readonly closed: (FiguresRead & { readonly revision: number }) | null;
}

export interface MetricState {
  readonly metric: string;
  readonly unit: string | null;
  /** The newest value and its event time; null: no reading of it is stored any more. */
  readonly value: number | null;
  readonly ts: number | null;
  readonly levels: readonly LevelState[];
}

/** All that is known of a device at one site. */
export interface DeviceState extends Progress {
  readonly site: string;
  /** By the database's clock, epoch milliseconds. */
  readonly now: number;
  /** By name. */
  readonly metrics: readonly MetricState[];
  /** Pending and firing, the one that changed last first, at most 100. */
  readonly alerts: readonly AlertRow[];
  /** Null before the aggregator first wrote it. */
  readonly facts: DeviceFacts | null;
}

type Json<T> = { readonly [K in keyof T]: T[K] extends Date | null ? string | Extract<T[K], null> : T[K] };

/** Series, level, start, the figures, count, revision, sketch and quantiles. Infinite sums come as text. */
type JsonWindow = readonly [
  id: number,
  level: number,
  start: number,
  firstTs: number,
  lastTs: number,
  sum: number | string,
  min: number,
  max: number,
  m2: number | string,
  first: number,
  last: number,
  count: number,
  revision: number,
  sketch: string | null,
  quantiles: PieceRow['quantiles'],
];
interface JsonSeries {
  readonly id: number;
  readonly metric: string;
  readonly unit: string | null;
  readonly ts: number | null;
  readonly value: number | null;
}

const seconds = (level: number): number => (LEVEL_MS[level] as number) / 1_000;
const table = (level: number): string => (LEVELS[level] as (typeof LEVELS)[number]).table;
const floor = (time: string, level: number): string =>
  `date_bin('${seconds(level)} seconds', ${time}, 'epoch'::timestamptz)`;

function windowJson(level: number, read: 'quantiles' | 'sketch'): string {
  const kept =
    read === 'quantiles' && level > 0
      ? 'NULL, json_build_array(w.p50, w.p90, w.p99)'
      : "encode(w.sketch, 'base64'), NULL";
  return `json_build_array(s.series_id, ${level}, ${epochMs('w.ts')}, ${epochMs('w.first_ts')}, ${epochMs('w.last_ts')},
    w.sum, w.min, w.max, w.m2, w.first, w.last, w.count, w.revision, ${kept})`;
}

/** The newest window of each series that the watermark has passed. */
const closedRow = (level: number): string =>
  `SELECT ${windowJson(level, 'quantiles')} AS w FROM newest s CROSS JOIN LATERAL (SELECT * FROM ${table(level)} t
     WHERE t.series_id = s.series_id AND t.ts <= ${floor('m.watermark', level)} - interval '${seconds(level)} seconds'
     ORDER BY t.ts DESC LIMIT 1) w WHERE s.site = m.site`;

/** What the window of `top` that the newest pane is in consists of: closed windows below it, and open panes. */
function openRows(top: number): string[] {
  const start = floor('m.newest', top);
  return LEVELS.slice(0, Math.max(1, top)).map((_, level) => {
    const from = top === 0 ? start : `greatest(${start}, ${floor('m.watermark', level + 1)})`;
    const to = level === 0 ? '' : `AND w.ts < ${floor('m.watermark', level)}`;
    return `SELECT ${windowJson(level, 'sketch')} AS w FROM newest s JOIN ${table(level)} w ON w.series_id = s.series_id
      WHERE s.site = m.site AND w.ts >= ${from} ${to}`;
  });
}

/** See `Queries.summaries`. */
export async function readSummaries(
  runner: Runner,
  options: QueryOptions,
  { device, site, levels }: SummaryQuery,
): Promise<DeviceState[]> {
  const asked = levels.map(levelIndex);
  const rows = await runner.query<{
    site: string;
    now: number;
    newest: number | null;
    series: readonly JsonSeries[];
    closed: readonly JsonWindow[] | null;
    open: readonly JsonWindow[] | null;
    alerts: readonly Json<AlertRow>[] | null;
    facts: DeviceFacts | null;
  }>(
    `reading the state of ${device}`,
    `WITH newest AS MATERIALIZED (
       SELECT s.series_id, s.site, s.metric, s.unit, n.ts, n.last_ts, n.last
         FROM ${TABLES.series} s LEFT JOIN LATERAL (${newestPane('ts, last_ts, last', 's.series_id')}) n ON true
        WHERE s.device = $1 AND ($2::text IS NULL OR s.site = $2)
     ), mark AS (
       SELECT site, max(ts) AS newest, max(ts) - make_interval(secs => $3::float8 / 1000) AS watermark,
              json_agg(json_build_object('id', series_id, 'metric', metric, 'unit', unit,
                'ts', ${epochMs('last_ts')}, 'value', last) ORDER BY metric) AS series
         FROM newest GROUP BY site ORDER BY site LIMIT 20
     )
     SELECT m.site, m.series, ${epochMs('m.newest')} AS newest, ${epochMs('clock_timestamp()')} AS now,
            (SELECT json_agg(w) FROM (${asked.map(closedRow).join(' UNION ALL ')}) c) AS closed,
            (SELECT json_agg(w) FROM (${openRows(Math.max(...asked)).join(' UNION ALL ')}) o) AS open,
            (SELECT json_agg(a ORDER BY a."updatedAt" DESC)
               FROM (SELECT ${ALERT_COLUMNS} FROM ${TABLES.alerts} a
                      WHERE a.site = m.site AND a.device = $1 AND a.state <> 'resolved'
                     ORDER BY updated_at DESC LIMIT 100) a) AS alerts,
            (SELECT ${DEVICE_FACTS}
               FROM ${TABLES.devices} d WHERE d.site = m.site AND d.device = $1) AS facts
       FROM mark m ORDER BY m.site`,
    [device, site ?? null, options.outOfOrdernessMs],
  );
  const merger = new WindowMerger();
  return rows.map(({ newest, series, closed, open, alerts, ...row }) => ({
    site: row.site,
    now: row.now,
    facts: row.facts,
    ...progressOf(newest, options),
    metrics: series.map(({ id, ...metric }) => ({
      ...metric,
      levels: levels.map((level) => {
        const index = levelIndex(level);
        const last = (closed ?? []).find((one) => one[0] === id && one[1] === index);
        return {
          level,
          current: newest === null ? null : currentOf(merger, index, newest, open ?? [], id),
          closed:
            last === undefined
              ? null
              : { ...readFigures(merger, last[2], [toPieceRow(last)]), revision: last[12] },
        };
      }),
    })),
    alerts: (alerts ?? []).map(toAlert),
  }));
}

function currentOf(
  merger: WindowMerger,
  level: number,
  newest: number,
  open: readonly JsonWindow[],
  id: number,
): FiguresRead | null {
  const start = alignDown(newest, LEVEL_MS[level] as number);
  const parts = open
    .filter((one) => one[0] === id && one[2] >= start && (one[1] < level || level === 0))
    .sort((a, b) => a[2] - b[2]);
  return parts.length === 0 ? null : readFigures(merger, start, parts.map(toPieceRow));
}

function toPieceRow(json: JsonWindow): PieceRow {
  const [, , start, firstTs, lastTs, sum, min, max, m2, first, last, count, , sketch, quantiles] = json;
  return {
    figures: {
      start,
      firstTs,
      lastTs,
      sum: Number(sum),
      min,
      max,
      m2: Number(m2),
      first,
      last,
      count,
      sketch: sketch === null ? null : Sketch.decode(Buffer.from(sketch, 'base64')),
    },
    quantiles,
  };
}

function toAlert(json: Json<AlertRow>): AlertRow {
  const date = (text: string | null): Date | null => (text === null ? null : new Date(text));
  return {
    ...json,
    startedAt: new Date(json.startedAt),
    firedAt: date(json.firedAt),
    acknowledgedAt: date(json.acknowledgedAt),
    resolvedAt: date(json.resolvedAt),
    updatedAt: new Date(json.updatedAt),
  };
}
