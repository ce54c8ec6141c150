import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

export type AlertState = 'pending' | 'firing' | 'resolved';
export type AlertSeverity = 'info' | 'warning' | 'critical';

/** One alert: one time that a rule's condition held for one series. A pending one may yet vanish. */
export interface AlertRow {
  readonly id: string;
  readonly rule: string;
  readonly site: string;
  readonly device: string;
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
  /** The last row of the page before. */
  readonly after?: { readonly updatedAt: Date; readonly id: string } | undefined;
  /** 1..1000 */
  readonly limit: number;
}

/** Every call throws `WeirError` (transient: the database is away). */
export interface AlertQueries {
  /** Newest change first. */
  listAlerts(query: AlertsQuery): Promise<readonly AlertRow[]>;
  firingAlerts(): Promise<number>;
}

interface Row {
  readonly id: string;
  readonly rule: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly severity: AlertSeverity;
  readonly state: AlertState;
  readonly value: number | null;
  readonly threshold: number | null;
  readonly started_at: Date;
  readonly fired_at: Date | null;
  readonly resolved_at: Date | null;
  readonly updated_at: Date;
}

const COLUMNS =
  'id, rule, site, device, metric, severity, state, value, threshold, started_at, fired_at, resolved_at, updated_at';

export function openAlertQueries(database: Runner): AlertQueries {
  return {
    listAlerts: async ({ state, severity, site, device, after, limit }) => {
      const values: unknown[] = [];
      const parameter = (value: unknown): string => `$${values.push(value)}`;
      const where: string[] = [];
      for (const [column, value] of Object.entries({ state, severity, site, device })) {
        if (value !== undefined) where.push(`${column} = ${parameter(value)}`);
      }
      if (after !== undefined) {
        where.push(
          `(updated_at, id) < (${parameter(after.updatedAt.toISOString())}::timestamptz, ${parameter(after.id)}::uuid)`,
        );
      }
      const rows = await database.query<Row>(
        'listing alerts',
        `SELECT ${COLUMNS} FROM ${TABLES.alerts} ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
          ORDER BY updated_at DESC, id DESC LIMIT ${parameter(limit)}`,
        values,
      );
      return rows.map(({ started_at, fired_at, resolved_at, updated_at, ...same }) => ({
        ...same,
        startedAt: started_at,
        firedAt: fired_at,
        resolvedAt: resolved_at,
        updatedAt: updated_at,
      }));
    },
    firingAlerts: async () => {
      const [row] = await database.query<{ count: number }>(
        'counting firing alerts',
        `SELECT count(*)::int AS count FROM ${TABLES.alerts} WHERE state = 'firing'`,
      );
      return row?.count ?? 0;
    },
  };
}
