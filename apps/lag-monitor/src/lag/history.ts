import { LAG_VERDICTS, type LagHistory, type LagSystem, type LagVerdict } from '@weir/api';
import type { Runner } from '@weir/connect-timescale';
import { RANK } from '@weir/lag';
import { TABLES } from '@weir/topology';
import type { Standing } from './board.ts';

/** Quiet groups are written so often: what does not change need not be said again. */
const QUIET_MS = 60_000;

/** One group or queue at one moment, as it is kept. */
export interface HistoryRow {
  readonly at: number;
  readonly system: LagSystem;
  readonly name: string;
  readonly verdict: LagVerdict;
  readonly rule: number;
  readonly consumers: number | null;
  readonly lag: number | null;
  readonly timeLagMs: number | null;
  readonly inRate: number | null;
  readonly outRate: number | null;
}

/** Makes a step that picks what of a round is worth keeping: everything, but of what is quiet one row a minute. */
export function pickRows() {
  const written = new Map<string, HistoryRow>();
  return function pickRows(standings: readonly Standing[]): HistoryRow[] {
    const rows = standings.map(({ measured, judged }): HistoryRow => {
      const { system, name, consumers } = measured;
      const { at, verdict, rule, lag, timeLagMs, inRate, outRate } = judged;
      return { at, system, name, verdict, rule: rule.number, consumers, lag, timeLagMs, inRate, outRate };
    });
    return rows.filter((row) => {
      const key = `${row.system}\0${row.name}`;
      const before = written.get(key);
      if (before !== undefined && row.at - before.at < QUIET_MS && isSame(before, row)) return false;
      written.set(key, row);
      return true;
    });
  };
}

const isSame = (a: HistoryRow, b: HistoryRow): boolean =>
  a.verdict === b.verdict &&
  a.rule === b.rule &&
  a.consumers === b.consumers &&
  a.lag === b.lag &&
  !b.inRate &&
  !b.outRate;

export async function writeHistory(runner: Runner, rows: readonly HistoryRow[]): Promise<void> {
  if (rows.length === 0) return;
  await runner.query(
    'writing the history of lag',
    `INSERT INTO ${TABLES.lagHistory}
            (at, system, name, verdict, rule, consumers, lag, time_lag_ms, in_rate, out_rate)
     SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::bigint[],
                          $8::float8[], $9::float8[], $10::float8[])`,
    [
      rows.map(({ at }) => new Date(at).toISOString()),
      rows.map(({ system }) => system),
      rows.map(({ name }) => name),
      rows.map(({ verdict }) => verdict),
      rows.map(({ rule }) => rule),
      rows.map(({ consumers }) => consumers),
      rows.map(({ lag }) => lag),
      rows.map(({ timeLagMs }) => timeLagMs),
      rows.map(({ inRate }) => inRate),
      rows.map(({ outRate }) => outRate),
    ],
  );
}

/** Drops what is older than `keepMs`, in whole chunks. */
export async function expireHistory(runner: Runner, keepMs: number): Promise<void> {
  if (!Number.isFinite(keepMs)) return;
  await runner.query(
    'dropping old history of lag',
    `SELECT drop_chunks($1::regclass, older_than => now() - $2 * interval '1 millisecond')`,
    [TABLES.lagHistory, keepMs],
  );
}

export interface HistoryQuery {
  readonly system: LagSystem;
  readonly group: string;
  /** Epoch milliseconds. */
  readonly from: number;
  readonly to: number;
  readonly points: number;
}

interface PointRow extends Record<string, unknown> {
  readonly ms: number;
  readonly lag: string | null;
  readonly timeLagMs: number | null;
  readonly inRate: number | null;
  readonly outRate: number | null;
  readonly verdicts: LagVerdict[];
}

/** Points in their order: the largest figures and the worst verdict of each step. */
export async function readHistory(
  runner: Runner,
  { system, group, from, to, points }: HistoryQuery,
): Promise<LagHistory> {
  const stepMs = Math.max(1_000, Math.ceil((to - from) / points / 1_000) * 1_000);
  const rows = await runner.query<PointRow>(
    'reading the history of lag',
    `SELECT extract(epoch FROM time_bucket($5 * interval '1 millisecond', at))::float8 * 1000 AS ms,
            max(lag) AS lag, max(time_lag_ms) AS "timeLagMs", max(in_rate) AS "inRate", max(out_rate) AS "outRate",
            array_agg(DISTINCT verdict) AS verdicts
       FROM ${TABLES.lagHistory} WHERE system = $1 AND name = $2 AND at >= $3 AND at < $4 GROUP BY 1 ORDER BY 1`,
    [system, group, new Date(from).toISOString(), new Date(to).toISOString(), stepMs],
  );
  return {
    system,
    group,
    stepMs,
    points: rows.map(({ ms, lag, timeLagMs, inRate, outRate, verdicts }) => ({
      at: new Date(ms).toISOString(),
      lag: lag === null ? null : Number(lag),
      ...{ timeLagMs, inRate, outRate },
      verdict: verdicts.reduce((worst, one) => (RANK[one] > RANK[worst] ? one : worst), LAG_VERDICTS[0]),
    })),
  };
}
