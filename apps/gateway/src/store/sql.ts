import type { Alert, Device } from '@weir/api';
import type { Queries } from '@weir/connect-timescale';
import type { AlertsPage, DevicesPage, Store } from './store.ts';

/** The part of a database connection that reading needs. */
export interface Reader {
  /** Rows of a statement. Throws `WeirError`, transient when the database is away. */
  query<Row>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
}

interface DeviceRow {
  readonly site: string;
  readonly device: string;
  readonly metrics: readonly { readonly name: string; readonly unit: string | null }[];
  readonly last_seen: Date | null;
}
interface AlertRow {
  readonly id: string;
  readonly rule: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly severity: Alert['severity'];
  readonly state: Alert['state'];
  readonly value: number | null;
  readonly threshold: number | null;
  readonly started_at: Date;
  readonly fired_at: Date | null;
  readonly resolved_at: Date | null;
  /** Text with microseconds, so that a cursor made from it meets the row again. */
  readonly updated: string;
}

/** Values of `$n` in the order in which they are asked for. */
class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/** Reads windows through `queries`, and what only the gateway asks for with statements of its own. */
export function sqlStore(reader: Reader, queries: Pick<Queries, 'latest' | 'windows'>): Store {
  const devices = async (where: readonly string[], values: Values, limit: number): Promise<Device[]> => {
    const rows = await reader.query<DeviceRow>(
      `SELECT d.site, d.device,
              json_agg(json_build_object('name', s.metric, 'unit', s.unit) ORDER BY s.metric) AS metrics,
              max(newest.last_ts) AS last_seen
         FROM (SELECT DISTINCT site, device FROM series
                ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
                ORDER BY site, device LIMIT ${values.add(limit)}) d
         JOIN series s USING (site, device)
         LEFT JOIN LATERAL (SELECT last_ts FROM windows_1s w
                             WHERE w.series_id = s.series_id ORDER BY ts DESC LIMIT 1) newest ON true
        GROUP BY d.site, d.device ORDER BY d.site, d.device`,
      values.list,
    );
    return rows.map(({ site, device, metrics, last_seen }) => ({
      id: device,
      site,
      metrics: [...metrics],
      lastSeen: last_seen?.toISOString() ?? null,
    }));
  };

  return {
    devices: ({ site, q, after, limit }: DevicesPage) => {
      const values = new Values();
      const where: string[] = [];
      if (site !== undefined) where.push(`site = ${values.add(site)}`);
      if (q !== undefined && q !== '') {
        const text = `lower(${values.add(q)})`;
        where.push(`(position(${text} in lower(device)) > 0 OR position(${text} in lower(site)) > 0)`);
      }
      if (after !== undefined) {
        where.push(`(site, device) > (${values.add(after.site)}, ${values.add(after.device)})`);
      }
      return devices(where, values, limit);
    },
    device: async (name, site) => {
      const values = new Values();
      const where = [`site = ${values.add(site)}`, `device = ${values.add(name)}`];
      return (await devices(where, values, 1))[0] ?? null;
    },
    sitesOf: async (device) => {
      const rows = await reader.query<{ site: string }>(
        'SELECT DISTINCT site FROM series WHERE device = $1 ORDER BY site LIMIT 20',
        [device],
      );
      return rows.map(({ site }) => site);
    },
    latest: (device, site) => queries.latest(device, site),
    windows: (query) => queries.windows(query),
    alerts: async (page: AlertsPage) => {
      const values = new Values();
      const where: string[] = [];
      for (const column of ['state', 'severity', 'site', 'device'] as const) {
        const wanted = page[column];
        if (wanted !== undefined) where.push(`${column} = ${values.add(wanted)}`);
      }
      if (page.after !== undefined) {
        where.push(
          `(updated_at, id) < (${values.add(page.after.updatedAt)}::timestamptz, ${values.add(page.after.id)}::uuid)`,
        );
      }
      const rows = await reader.query<AlertRow>(
        `SELECT id, rule, site, device, metric, severity, state, value, threshold, started_at, fired_at, resolved_at,
                to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
           FROM alerts ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
          ORDER BY updated_at DESC, id DESC LIMIT ${values.add(page.limit)}`,
        values.list,
      );
      return rows.map(asAlert);
    },
    firingAlerts: async () => {
      const rows = await reader.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM alerts WHERE state = 'firing'",
      );
      return rows[0]?.n ?? 0;
    },
  };
}

function asAlert(row: AlertRow): Alert {
  const { id, rule, site, device, metric, severity, state, value, threshold } = row;
  return {
    ...{ id, rule, site, device, metric, severity, state, value, threshold },
    startedAt: row.started_at.toISOString(),
    firedAt: row.fired_at?.toISOString() ?? null,
    resolvedAt: row.resolved_at?.toISOString() ?? null,
    updatedAt: row.updated,
  };
}
