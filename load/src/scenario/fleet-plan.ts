import { Cursor } from './cursor.ts';
import { Curve } from './curve.ts';
import { type Outage, outagesOf } from './outages.ts';
import { type DeviceClass, PROBE_CLASS, PROBE_METRIC, type Scenario } from './schema.ts';

/** Where and under which names a run publishes. */
export interface RunPlace {
  /** Sites are `<site>-1` and on; nobody else publishes there. */
  readonly site: string;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly workers: number;
}

export interface PlannedDevice {
  /** Among all devices of the run, from 0. */
  readonly id: number;
  readonly name: string;
  readonly site: string;
  readonly cursor: Cursor;
}

export interface PlannedConnection {
  readonly clientId: string;
  readonly classIndex: number;
  readonly target: number;
  readonly outages: readonly Outage[];
  readonly devices: readonly PlannedDevice[];
}

/** The scenario's classes and the probes, which are a class like the others. */
export function classesOf({ classes, probes }: Scenario): readonly DeviceClass[] {
  const [first] = classes as [DeviceClass];
  if (probes === 0) return classes;
  const probe: DeviceClass = {
    name: PROBE_CLASS,
    devices: probes,
    perConnection: 1,
    rate: 1,
    jitter: 0,
    qos: 1,
    keepalive: first.keepalive,
    window: 50,
    keep: 600_000,
    metrics: [{ name: PROBE_METRIC, model: { kind: 'constant', value: 1 } }],
    connect: { from: 0, within: 0, timeout: 30_000, retry: 250, retryMax: 5_000 },
    ramp: [],
    bursts: [],
    silent: [],
    flapping: [],
    offline: [],
    storms: [],
    duplicate: 0,
    malformed: 0,
    oversized: 0,
  };
  return [probe, ...classes];
}

export const deviceName = (className: string, index: number): string =>
  `${className}-${String(index + 1).padStart(5, '0')}`;
/** Probes have a site of their own, so that a WebSocket can ask for them alone. */
export const probeSite = (site: string): string => `${site}-probe`;
const siteOf = (spec: DeviceClass, index: number, sites: number, site: string): string =>
  spec.name === PROBE_CLASS ? probeSite(site) : `${site}-${(index % sites) + 1}`;

/** Every device of the run, in the order of its numbers. */
export function deviceNames(
  scenario: Scenario,
  site: string,
): { className: string; site: string; name: string }[] {
  return classesOf(scenario).flatMap((spec) =>
    Array.from({ length: spec.devices }, (_, i) => ({
      className: spec.name,
      site: siteOf(spec, i, scenario.sites, site),
      name: deviceName(spec.name, i),
    })),
  );
}

export const connectionCount = (scenario: Scenario): number =>
  classesOf(scenario).reduce((sum, one) => sum + Math.ceil(one.devices / one.perConnection), 0);

/**
 * The connections of one worker. Which worker and which edge a connection has follows from its number, so any number of
 * workers runs the same schedule between them.
 */
export function planConnections(scenario: Scenario, place: RunPlace, worker: number): PlannedConnection[] {
  const { seed, duration, sites } = scenario;
  const mine: PlannedConnection[] = [];
  let number = 0;
  let firstId = 0;
  for (const [classIndex, spec] of classesOf(scenario).entries()) {
    const curve = new Curve(spec, duration);
    const count = Math.ceil(spec.devices / spec.perConnection);
    for (let c = 0; c < count; c++, number++) {
      if (number % place.workers !== worker) continue;
      const outages = outagesOf(spec, c, count, seed, duration);
      const devices: PlannedDevice[] = [];
      // Dealt out like cards: the devices of a connection differ in their sites.
      for (let i = c; i < spec.devices; i += count)
        devices.push({
          id: firstId + i,
          name: deviceName(spec.name, i),
          site: siteOf(spec, i, sites, place.site),
          cursor: new Cursor(spec, i, seed, curve, outages),
        });
      const spread = Math.floor(number / place.workers) % place.targets.length;
      const target = spec.edge === undefined ? spread : (spec.edge - 1) % place.targets.length;
      // As the devices themselves, where each has a connection: credentials are those of the device.
      const [only] = devices as [PlannedDevice];
      const clientId =
        spec.perConnection === 1
          ? `${place.site}-${only.name}`
          : `${place.site}-${spec.name}-gateway-${c + 1}`;
      mine.push({ clientId, classIndex, target, outages, devices });
    }
    firstId += spec.devices;
  }
  return mine;
}
