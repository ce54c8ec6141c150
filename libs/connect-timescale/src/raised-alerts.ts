import { randomUUID } from 'node:crypto';
import type { Alert } from '@weir/api';
import { TABLES } from '@weir/topology';
import { ALERT_COLUMNS, type AlertRow, appendTransitions, showAlert } from './alerts.ts';
import type { Runner } from './database.ts';

/** An alert that somebody other than a rule over readings wants to have open. */
export interface RaisedAlert {
  readonly rule: string;
  readonly site: string;
  /** What the alert is about; with rule, site and metric it is the identity of an open alert. */
  readonly device: string;
  readonly metric: string;
  readonly severity: Alert['severity'];
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | null;
  readonly threshold: number | null;
  readonly startedAt: Date;
}

const keyOf = ({
  rule,
  site,
  device,
  metric,
}: Pick<RaisedAlert, 'rule' | 'site' | 'device' | 'metric'>): string =>
  JSON.stringify([rule, site, device, metric]);

/**
 * Brings the open alerts of a kind in line with what holds now, and tells of what changed, as rules do: notifiers,
 * silences and grouping apply. Run again after a failure, or by a successor, it does what is left to do. In the caller's
 * transaction, as its last statements; whoever raises a kind must be one process at a time (`fenced`).
 * @param undecided alerts about which nothing is known at the moment: they stay as they are
 */
export async function raiseAlerts(
  transaction: Runner,
  kind: Alert['kind'],
  wanted: readonly RaisedAlert[],
  undecided: (open: AlertRow) => boolean = () => false,
): Promise<{ readonly opened: number; readonly resolved: number }> {
  const open = await transaction.query<AlertRow & Record<string, unknown>>(
    'reading open alerts',
    `SELECT ${ALERT_COLUMNS} FROM ${TABLES.alerts} WHERE kind = $1 AND state IN ('firing', 'acknowledged') FOR UPDATE`,
    [kind],
  );
  const known = new Set(open.map(keyOf));
  const still = new Set(wanted.map(keyOf));
  const fresh = wanted.filter((alert) => !known.has(keyOf(alert)));
  const over = open.filter((alert) => !still.has(keyOf(alert)) && !undecided(alert));
  if (fresh.length === 0 && over.length === 0) return { opened: 0, resolved: 0 };

  const resolved = await transaction.query<AlertRow & Record<string, unknown>>(
    'closing alerts',
    `UPDATE ${TABLES.alerts} SET state = 'resolved', resolved_at = t, updated_at = t
       FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS t) now
      WHERE id = ANY($1::uuid[]) RETURNING ${ALERT_COLUMNS}`,
    [over.map(({ id }) => id)],
  );
  const opened = await transaction.query<AlertRow & Record<string, unknown>>(
    'writing alerts',
    `INSERT INTO ${TABLES.alerts} (id, rule, kind, site, device, metric, severity, labels, state, value, threshold,
                                   started_at, fired_at, fired_value, updated_at, announced)
     SELECT a.id, a.rule, $1, a.site, a.device, a.metric, a.severity, a.labels, 'firing', a.value, a.threshold,
            a.started_at, t, a.value, t, true
       FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::float8[],
                   $10::float8[], $11::timestamptz[])
              AS a (id, rule, site, device, metric, severity, labels, value, threshold, started_at),
            (SELECT date_trunc('milliseconds', clock_timestamp()) AS t) now
     ON CONFLICT DO NOTHING RETURNING ${ALERT_COLUMNS}`,
    [
      kind,
      fresh.map(() => randomUUID()),
      fresh.map(({ rule }) => rule),
      fresh.map(({ site }) => site),
      fresh.map(({ device }) => device),
      fresh.map(({ metric }) => metric),
      fresh.map(({ severity }) => severity),
      fresh.map(({ labels }) => JSON.stringify(labels)),
      fresh.map(({ value }) => value),
      fresh.map(({ threshold }) => threshold),
      fresh.map(({ startedAt }) => startedAt.toISOString()),
    ],
  );
  await appendTransitions(
    transaction,
    [...resolved, ...opened].map((alert) => ({ alert: showAlert(alert), suppressed: false })),
  );
  return { opened: opened.length, resolved: resolved.length };
}

/** Open alerts of a kind in a state. */
export function readAlerts(
  runner: Runner,
  kind: Alert['kind'],
  state: 'firing' | 'acknowledged',
): Promise<AlertRow[]> {
  return runner.query<AlertRow & Record<string, unknown>>(
    'reading open alerts',
    `SELECT ${ALERT_COLUMNS} FROM ${TABLES.alerts} WHERE kind = $1 AND state = $2`,
    [kind, state],
  );
}
