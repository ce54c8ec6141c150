import { APP_PORTS, type AppName, type PortName } from '@weir/topology';

/** A process that `weir up` runs, in the order in which it stops. */
export interface AppSpec {
  readonly name: string;
  /** Where its /readyz and /metrics are. */
  readonly port: PortName;
  /** Other ports that it listens on. */
  readonly doors: readonly PortName[];
  /** Apps of one rank stop together, lower ranks first: nothing new comes in while what is inside drains. */
  readonly stopRank: number;
}

export const FLEET: AppSpec = { name: 'fleet', port: 'fleetHttp', doors: [], stopRank: 0 };
export const APPS: readonly (AppSpec & { readonly name: AppName })[] = [
  { name: 'edge', port: APP_PORTS.edge, doors: ['mqtt', 'mqttWs'], stopRank: 1 },
  { name: 'aggregator', port: APP_PORTS.aggregator, doors: [], stopRank: 2 },
  { name: 'archiver', port: APP_PORTS.archiver, doors: [], stopRank: 2 },
  { name: 'alerter', port: APP_PORTS.alerter, doors: [], stopRank: 2 },
  { name: 'dead-letters', port: APP_PORTS['dead-letters'], doors: [], stopRank: 2 },
  { name: 'lag-monitor', port: APP_PORTS['lag-monitor'], doors: [], stopRank: 2 },
  { name: 'gateway', port: APP_PORTS.gateway, doors: [], stopRank: 2 },
];
