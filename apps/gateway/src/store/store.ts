import type { Alert, Device } from '@weir/api';
import type { AlertsQuery, DeviceFacts, Queries } from '@weir/connect-timescale';

export interface DevicesPage {
  readonly site?: string | undefined;
  /** Text that the device's name or its site holds, in any case. */
  readonly q?: string | undefined;
  readonly after?: { readonly site: string; readonly device: string } | undefined;
  readonly limit: number;
}
/** What the gateway reads from the database. Every call throws `WeirError`, transient when the database is away. */
export interface Store extends Pick<Queries, 'latest' | 'seriesState' | 'windows' | 'pieces' | 'summaries'> {
  /** By site and name; `after` is the last of the page before. */
  devices(page: DevicesPage): Promise<Device[]>;
  device(name: string, site: string): Promise<Device | null>;
  facts(device: string, site: string): Promise<DeviceFacts | null>;
  /** Sites that have a device of this name. */
  sitesOf(device: string): Promise<string[]>;
  /** Newest change first. */
  alerts(query: AlertsQuery): Promise<Alert[]>;
  firingAlerts(): Promise<number>;
}
