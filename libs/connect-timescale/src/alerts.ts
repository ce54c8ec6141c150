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

/** `openAlertQueries(database)` makes one. Every call throws `WeirError` (transient: the database is away). */
export interface AlertQueries {
  /** Newest change first. */
  listAlerts(query: AlertsQuery): Promise<readonly AlertRow[]>;
  firingAlerts(): Promise<number>;
}
