import type { Database } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

export interface UnsentAlert {
  readonly id: string;
  readonly rule: string;
  readonly kind: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly severity: string;
  readonly state: 'firing' | 'acknowledged' | 'resolved';
  readonly value: number | null;
  readonly fired_value: number | null;
  readonly threshold: number | null;
  readonly started_at: Date;
  readonly fired_at: Date;
  readonly resolved_at: Date | null;
  readonly updated_at: Date;
  readonly firing_sent: boolean;
}

export interface OutboxStore {
  /** Alerts with a change that is not confirmed on weir.alerts, oldest change first. */
  unsent(limit: number): Promise<readonly UnsentAlert[]>;
  markSent(firing: readonly string[], resolved: readonly string[]): Promise<void>;
}

export function outboxStore(database: Database): OutboxStore {
  return {
    unsent: (limit) =>
      database.query<UnsentAlert & Record<string, unknown>>(
        'reading unsent alerts',
        `SELECT id, rule, kind, site, device, metric, severity, state, value, fired_value, threshold, started_at,
                fired_at, resolved_at, updated_at, firing_sent
           FROM ${TABLES.alerts}
          WHERE (fired_at IS NOT NULL AND NOT firing_sent) OR (state = 'resolved' AND NOT resolved_sent)
          ORDER BY updated_at, id LIMIT $1`,
        [limit],
      ),
    markSent: async (firing, resolved) => {
      await database.query(
        'marking alerts as sent',
        `UPDATE ${TABLES.alerts}
            SET firing_sent = firing_sent OR id = ANY($1::uuid[]), resolved_sent = resolved_sent OR id = ANY($2::uuid[])
          WHERE id = ANY($1::uuid[]) OR id = ANY($2::uuid[])`,
        [firing, resolved],
      );
    },
  };
}
