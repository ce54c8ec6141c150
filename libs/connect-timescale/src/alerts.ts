import type { Alert } from '@weir/api';
import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** `acknowledged`: firing, and somebody has taken it on. */
export type AlertState = 'pending' | 'firing' | 'acknowledged' | 'resolved';
export type AlertSeverity = 'info' | 'warning' | 'critical';

/** One alert: one time that a rule's condition held for one series. A pending one may yet vanish. */
export interface AlertRow {
  readonly id: string;
  readonly rule: string;
  readonly kind: Alert['kind'];
  readonly labels: Readonly<Record<string, string>>;
  readonly site: string;
  /** Empty: the alert of a site. */
  readonly device: string;
  /** Empty: the rule has none. */
  readonly metric: string;
  readonly severity: AlertSeverity;
  readonly state: AlertState;
  /** The value that led to the state. */
  readonly value: number | null;
  readonly threshold: number | null;
  /** Event time of the first reading that met the condition. */
  readonly startedAt: Date;
  /** Event time of the reading with which the hold time was over; null while pending. */
  readonly firedAt: Date | null;
  readonly acknowledgedAt: Date | null;
  readonly acknowledgedBy: string | null;
  /** The alert of the site that covers it: nobody is told of this one then. */
  readonly suppressedBy: string | null;
  /** Event time of the reading that ended it; null until then. */
  readonly resolvedAt: Date | null;
  /** When the row last changed, by the alerter's clock, whole milliseconds. */
  readonly updatedAt: Date;
}

export interface AlertsQuery {
  readonly state?: AlertState | undefined;
  readonly severity?: AlertSeverity | undefined;
  readonly site?: string | undefined;
  readonly device?: string | undefined;
  readonly kind?: Alert['kind'] | undefined;
  readonly rule?: string | undefined;
  /** The last row of the page before. */
  readonly after?: { readonly updatedAt: Date; readonly id: string } | undefined;
  /** 1..1000 */
  readonly limit: number;
}

/** Every call throws `WeirError` (transient: the database is away). */
export interface AlertQueries {
  /** Newest change first. */
  listAlerts(query: AlertsQuery): Promise<readonly AlertRow[]>;
  /** Null: there is none of this id, or it was pending and has vanished. */
  alert(id: string): Promise<AlertRow | null>;
  /** Acknowledged ones too. */
  firingAlerts(): Promise<number>;
}

/** Columns of an alert under the names of `AlertRow`. */
export const ALERT_COLUMNS = `id, rule, kind, labels, site, device, metric, severity, state, value, threshold,
  started_at AS "startedAt", fired_at AS "firedAt", acknowledged_at AS "acknowledgedAt",
  acknowledged_by AS "acknowledgedBy", suppressed_by AS "suppressedBy", resolved_at AS "resolvedAt",
  updated_at AS "updatedAt"`;

/** An alert as the API shows it. */
export function showAlert(row: AlertRow): Alert {
  const text = (time: Date | null): string | null => time?.toISOString() ?? null;
  return {
    ...row,
    startedAt: row.startedAt.toISOString(),
    firedAt: text(row.firedAt),
    acknowledgedAt: text(row.acknowledgedAt),
    resolvedAt: text(row.resolvedAt),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function openAlertQueries(database: Runner): AlertQueries {
  return {
    listAlerts: async ({ after, limit, ...filters }) => {
      const values: unknown[] = [];
      const parameter = (value: unknown): string => `$${values.push(value)}`;
      const where: string[] = [];
      const { state, severity, site, device, kind, rule } = filters;
      for (const [column, value] of Object.entries({ state, severity, site, device, kind, rule })) {
        if (value !== undefined) where.push(`${column} = ${parameter(value)}`);
      }
      if (after !== undefined) {
        where.push(
          `(updated_at, id) < (${parameter(after.updatedAt.toISOString())}::timestamptz, ${parameter(after.id)}::uuid)`,
        );
      }
      return database.query<AlertRow & Record<string, unknown>>(
        'listing alerts',
        `SELECT ${ALERT_COLUMNS} FROM ${TABLES.alerts} ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
          ORDER BY updated_at DESC, id DESC LIMIT ${parameter(limit)}`,
        values,
      );
    },
    alert: async (id) => {
      const [row] = await database.query<AlertRow & Record<string, unknown>>(
        'reading an alert',
        `SELECT ${ALERT_COLUMNS} FROM ${TABLES.alerts} WHERE id = $1`,
        [id],
      );
      return row ?? null;
    },
    firingAlerts: async () => {
      const [row] = await database.query<{ count: number }>(
        'counting firing alerts',
        `SELECT count(*)::int AS count FROM ${TABLES.alerts} WHERE state IN ('firing', 'acknowledged')`,
      );
      return row?.count ?? 0;
    },
  };
}

export interface AlertTransition {
  readonly alert: Alert;
  /** Covered by the alert of a site: kept for the record, told to nobody. */
  readonly suppressed: boolean;
}

// Rows become visible in the order of their numbers: whoever reads on from the newest one misses none.
const APPEND_LOCK = 8_093_002;

/** Adds changes to `alert_transitions`, in the transaction of the change itself and as its last statement. */
export async function appendTransitions(
  transaction: Runner,
  transitions: readonly AlertTransition[],
): Promise<void> {
  if (transitions.length === 0) return;
  await transaction.query('waiting to tell of alerts', 'SELECT pg_advisory_xact_lock($1)', [APPEND_LOCK]);
  await transaction.query(
    'telling of alerts',
    `INSERT INTO ${TABLES.alertTransitions} (alert_id, state, at, alert, suppressed)
     SELECT (alert->>'id')::uuid, alert->>'state', clock_timestamp(), alert, suppressed
       FROM unnest($1::jsonb[], $2::boolean[]) WITH ORDINALITY AS t (alert, suppressed, n) ORDER BY n`,
    [transitions.map(({ alert }) => JSON.stringify(alert)), transitions.map(({ suppressed }) => suppressed)],
  );
}

/**
 * Takes a firing alert on, in the caller's transaction. Null: there is none of this id that fires and is not yet
 * acknowledged; read it to see why.
 */
export async function acknowledgeAlert(
  transaction: Runner,
  id: string,
  by: string,
): Promise<AlertRow | null> {
  const [row] = await transaction.query<AlertRow & { announced: boolean } & Record<string, unknown>>(
    'acknowledging an alert',
    `UPDATE ${TABLES.alerts}
        SET state = 'acknowledged', acknowledged_at = date_trunc('milliseconds', clock_timestamp()),
            acknowledged_by = $2, updated_at = date_trunc('milliseconds', clock_timestamp())
      WHERE id = $1 AND state = 'firing' RETURNING ${ALERT_COLUMNS}, announced`,
    [id, by],
  );
  if (row === undefined) return null;
  const { announced, ...alert } = row;
  await appendTransitions(transaction, [{ alert: showAlert(alert), suppressed: !announced }]);
  return alert;
}
