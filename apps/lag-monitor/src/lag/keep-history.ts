import { once } from 'node:events';
import type { AlertRow, RaisedAlert } from '@weir/connect-timescale';
import { isFenced, raiseAlerts } from '@weir/connect-timescale';
import { isTransient, retrying } from '@weir/flow';
import type { Act } from '../parts.ts';
import type { Standing } from './board.ts';
import type { LagEvents } from './events.ts';
import { expireHistory, type HistoryRow, pickRows, writeHistory } from './history.ts';

/** Rows that wait while the database is away; older ones go. */
const MOST_ROWS = 20_000;
const EXPIRE_MS = 600_000;

export interface KeepHistoryOptions {
  readonly events: LagEvents;
  /** How long history is kept, milliseconds. */
  readonly keepMs: number;
  /** Whether verdicts become alerts. */
  readonly alerts: boolean;
  readonly allowedLagMs: (group: string) => number;
}

/**
 * What the leading monitor does with each round: its rows into the history, and its verdicts into alerts. While the
 * database is away rows wait, bounded; alerts follow from the newest round, so nothing is told that is over.
 */
export function keepHistory({ events, keepMs, alerts, allowedLagMs }: KeepHistoryOptions) {
  const pick = pickRows();
  let rows: HistoryRow[] = [];
  let newest: readonly Standing[] | null = null;
  let wake = (): void => undefined;
  let leading = false;

  const lead: Act = async ({ ended, transaction }) => {
    let expireAt = 0;
    while (!ended.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      if (newest === null) await Promise.race([promise, once(ended, 'abort')]);
      if (newest === null || ended.aborted) continue;
      const standings: readonly Standing[] = newest;
      newest = null;
      const batch = rows;
      rows = [];
      try {
        const told = await retrying(
          () =>
            transaction('keeping the history of lag', async (sql) => {
              await writeHistory(sql, batch);
              return alerts
                ? raiseAlerts(sql, 'lag', alertsOf(standings, allowedLagMs), isUndecided(standings))
                : null;
            }),
          {
            signal: ended,
            shouldRetry: (error) => isTransient(error) && !isFenced(error) && newest === null,
            onRetry: (error) => events.databaseAway(error),
          },
        );
        events.written(batch.length);
        if (told !== null) events.alerted(told);
        if (performance.now() >= expireAt) {
          await transaction('dropping old history of lag', (sql) => expireHistory(sql, keepMs));
          expireAt = performance.now() + EXPIRE_MS;
        }
      } catch (error) {
        if (ended.aborted) return;
        if (!isTransient(error) || isFenced(error)) throw error;
        events.databaseAway(error);
        rows = [...batch, ...rows];
        newest ??= standings;
      }
    }
  };

  const act: Act = async (leadership) => {
    leading = true;
    await lead(leadership).finally(() => {
      leading = false;
      rows = [];
      newest = null;
    });
  };

  return {
    act,
    /** Everything that was judged in a round. */
    judged(standings: readonly Standing[]): void {
      // What is measured while another leads is that one's to keep.
      if (!leading) return;
      newest = standings;
      rows.push(...pick(standings));
      if (rows.length > MOST_ROWS) events.dropped(rows.splice(0, rows.length - MOST_ROWS).length);
      wake();
    },
  };
}

const SEVERITY = {
  WARN: 'warning',
  REWIND: 'warning',
  ERR: 'critical',
  STOP: 'critical',
  STALL: 'critical',
} as const satisfies Record<string, RaisedAlert['severity']>;

const isBad = (verdict: string): verdict is keyof typeof SEVERITY => verdict in SEVERITY;

/** One alert for each group or queue that is not well; another verdict is another alert. */
function alertsOf(standings: readonly Standing[], allowedLagMs: (group: string) => number): RaisedAlert[] {
  return standings.flatMap(({ measured: { system, name }, judged }) => {
    const { verdict, rule, timeLagMs, since } = judged;
    if (!isBad(verdict)) return [];
    return {
      ...{ rule: `lag-${verdict.toLowerCase()}`, site: 'weir', device: name, metric: system },
      severity: SEVERITY[verdict],
      labels: { system, group: name, verdict, rule: String(rule.number), text: rule.text },
      value: timeLagMs === null ? null : timeLagMs / 1_000,
      threshold: allowedLagMs(name) / 1_000,
      startedAt: new Date(since),
    };
  });
}

/** Of what could not be measured nobody can say that it is over. */
function isUndecided(standings: readonly Standing[]): (alert: AlertRow) => boolean {
  const unknown = new Set(
    standings
      .filter(({ judged }) => judged.verdict === 'UNKNOWN')
      .map(({ measured }) => `${measured.system}\0${measured.name}`),
  );
  const systems = new Set(standings.map(({ measured }) => measured.system));
  return ({ metric, device }) =>
    unknown.has(`${metric}\0${device}`) || !systems.has(metric as Standing['measured']['system']);
}
