import type { Device } from '@weir/api';
import {
  type AlertQueries,
  type Database,
  newestPane,
  type Queries,
  readDevice,
  showAlert,
} from '@weir/connect-timescale';
import type { DevicesPage, Store } from './store.ts';

type DeviceRow = {
  readonly site: string;
  readonly device: string;
  readonly metrics: readonly { readonly name: string; readonly unit: string | null }[];
  readonly last_seen: Date | null;
};

/** Values of `$n` in the order in which they are asked for. */
class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/** Windows and alerts as everybody reads them; devices with a search that only the gateway needs. */
export function sqlStore(
  database: Pick<Database, 'query'>,
  queries: Pick<Queries, 'latest' | 'seriesState' | 'windows' | 'pieces' | 'summaries'>,
  alerts: AlertQueries,
): Store {
  const devices = async (where: readonly string[], values: Values, limit: number): Promise<Device[]> => {
    const rows = await database.query<DeviceRow>(
      'listing devices',
      `SELECT d.site, d.device,
              json_agg(json_build_object('name', s.metric, 'unit', s.unit) ORDER BY s.metric) AS metrics,
              max(newest.last_ts) AS last_seen
         FROM (SELECT DISTINCT site, device FROM series
                ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
                ORDER BY site, device LIMIT ${values.add(limit)}) d
         JOIN series s USING (site, device)
         LEFT JOIN LATERAL (${newestPane('ts, last_ts', 's.series_id')}) newest ON true
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
      const rows = await database.query<{ site: string }>(
        'finding a device',
        'SELECT DISTINCT site FROM series WHERE device = $1 ORDER BY site LIMIT 20',
        [device],
      );
      return rows.map(({ site }) => site);
    },
    facts: (device, site) => readDevice(database, site, device),
    latest: (device, site) => queries.latest(device, site),
    seriesState: (device, site, metric) => queries.seriesState(device, site, metric),
    windows: (seriesId, query) => queries.windows(seriesId, query),
    pieces: (seriesId, pieces) => queries.pieces(seriesId, pieces),
    summaries: (query) => queries.summaries(query),
    alerts: async (page) => (await alerts.listAlerts(page)).map(showAlert),
    firingAlerts: () => alerts.firingAlerts(),
  };
}
