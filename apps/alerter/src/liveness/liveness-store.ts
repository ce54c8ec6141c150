import type { KeptDevice } from '@weir/alerts';
import type { Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

/** What is known of devices, over restarts. Every call throws `WeirError`, transient when the database is away. */
export interface LivenessStore {
  /** Those that were heard since `from` (epoch milliseconds), the last ones first, at most `limit`; forgets older ones. */
  load(from: number, limit: number): Promise<readonly KeptDevice[]>;
  save(devices: readonly KeptDevice[]): Promise<void>;
  forget(devices: readonly { readonly site: string; readonly device: string }[]): Promise<void>;
}

interface Row extends Omit<KeptDevice, 'lastHeard'> {
  readonly last_heard_ms: string;
}

export function livenessStore(database: Runner): LivenessStore {
  return {
    load: async (from, limit) => {
      await database.query(
        'forgetting devices',
        `DELETE FROM ${TABLES.deviceLiveness} WHERE last_heard_ms < $1`,
        [Math.round(from)],
      );
      const rows = await database.query<Row>(
        'reading the rhythms of devices',
        `SELECT site, device, edge, last_heard_ms::text, history FROM ${TABLES.deviceLiveness}
          ORDER BY last_heard_ms DESC LIMIT $1`,
        [limit],
      );
      return rows.map(({ last_heard_ms, ...same }) => ({ ...same, lastHeard: Number(last_heard_ms) }));
    },
    save: async (devices) => {
      await database.query(
        'writing the rhythms of devices',
        `INSERT INTO ${TABLES.deviceLiveness} (site, device, edge, last_heard_ms, history)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
         ON CONFLICT (site, device) DO UPDATE
           SET edge = excluded.edge, last_heard_ms = excluded.last_heard_ms, history = excluded.history,
               updated_at = now()`,
        [
          devices.map(({ site }) => site),
          devices.map(({ device }) => device),
          devices.map(({ edge }) => edge),
          devices.map(({ lastHeard }) => Math.round(lastHeard)),
          devices.map(({ history }) => history),
        ],
      );
    },
    forget: async (devices) => {
      await database.query(
        'forgetting devices',
        `DELETE FROM ${TABLES.deviceLiveness} USING unnest($1::text[], $2::text[]) AS gone (site, device)
          WHERE ${TABLES.deviceLiveness}.site = gone.site AND ${TABLES.deviceLiveness}.device = gone.device`,
        [devices.map(({ site }) => site), devices.map(({ device }) => device)],
      );
    },
  };
}
