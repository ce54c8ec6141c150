import { join } from 'node:path';
import { APP_PORTS, type AppName, edgePortOffset, PORTS, type PortName } from '@weir/topology';

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

/** A process of one of Weir's apps. */
export interface AppInstance extends AppSpec {
  readonly app: AppName;
  /** Added to its ports beside the offset of the installation. */
  readonly portOffset: number;
  /** Settings that this one does not share with the others. */
  readonly settings: Readonly<Record<string, string>>;
}

export const FLEET: AppSpec = { name: 'fleet', port: 'fleetHttp', doors: [], stopRank: 0 };
const APPS: readonly (AppSpec & { readonly name: AppName })[] = [
  { name: 'edge', port: APP_PORTS.edge, doors: ['mqtt', 'mqttWs'], stopRank: 1 },
  { name: 'aggregator', port: APP_PORTS.aggregator, doors: [], stopRank: 2 },
  { name: 'archiver', port: APP_PORTS.archiver, doors: [], stopRank: 2 },
  { name: 'alerter', port: APP_PORTS.alerter, doors: [], stopRank: 2 },
  { name: 'dead-letters', port: APP_PORTS['dead-letters'], doors: [], stopRank: 2 },
  { name: 'lag-monitor', port: APP_PORTS['lag-monitor'], doors: [], stopRank: 2 },
  { name: 'gateway', port: APP_PORTS.gateway, doors: [], stopRank: 2 },
];

/** Who asks the other apps how they fare. */
const ASKING: ReadonlySet<AppName> = new Set(['lag-monitor', 'gateway']);
const WATCHED: ReadonlySet<AppName> = new Set(['edge', 'aggregator', 'archiver', 'alerter']);

/**
 * The processes of an installation. The first edge is what its settings say; each further one has a name, a folder, a
 * spool and ports of its own: `edge-2` listens 120 above the first.
 */
export function appInstances(edges: number, dataDir: string, portOffset: number): readonly AppInstance[] {
  const first = APPS.map((spec) => ({ ...spec, app: spec.name, portOffset: 0, settings: {} }));
  const [edge, ...others] = first as [AppInstance, ...AppInstance[]];
  const more = Array.from({ length: edges - 1 }, (_, i): AppInstance => {
    const name = `edge-${i + 2}`;
    const own = edgePortOffset(i + 1);
    return {
      ...edge,
      name,
      portOffset: own,
      settings: {
        WEIR_EDGE__ID: name,
        WEIR_EDGE__DIR: join(dataDir, name),
        WEIR_EDGE__SPOOL__DIR: join(dataDir, name, 'spool'),
        WEIR_PORTS__OFFSET: String(portOffset + own),
      },
    };
  });
  const watched = watchedApps([edge, ...more, ...others], portOffset);
  const rest = others.map((one) =>
    ASKING.has(one.app) && more.length > 0 ? { ...one, settings: watched } : one,
  );
  return [edge, ...more, ...rest];
}

/** Whom lag monitor and gateway ask how they fare; of themselves they know one process of each app. */
function watchedApps(
  instances: readonly AppInstance[],
  portOffset: number,
): Readonly<Record<string, string>> {
  const watched = instances.filter(({ app }) => WATCHED.has(app));
  const addresses = watched.map(
    (one) => `${one.app}=http://127.0.0.1:${PORTS[one.port] + portOffset + one.portOffset}`,
  );
  return { WEIR_LAG_MONITOR__APPS: addresses.join(',') };
}
