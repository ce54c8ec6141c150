import type { Pressure, Status } from '@weir/api';
import { edgePortOffset, PORTS } from '@weir/topology';
import type { AppLine, Run } from './run-file.ts';

export interface ServerLine {
  readonly name: string;
  readonly title: string;
  readonly state: string;
  readonly detail: string;
  readonly pid: number | null;
  readonly ports: readonly number[];
}

/** Everything that the screen shows, at one moment. */
export interface View {
  readonly state: 'stopped' | Run['state'] | 'degraded';
  readonly doing: string;
  readonly startedAt: string | null;
  readonly servers: readonly ServerLine[];
  readonly apps: readonly AppLine[];
  readonly addresses: Readonly<Record<string, string>>;
  /** Of the gateway; null while it does not answer. */
  readonly figures: Status['figures'] | null;
  /** Each edge, as the gateway sees it; empty while it does not answer. */
  readonly edges: Status['edges'];
  /** The hop that holds the others back, and since when; null: none, or nobody knows. */
  readonly bottleneck: Pressure['bottleneck'];
}

const FIGURES_DEADLINE_MS = 1_500;

export function addressesOf(portOffset: number, edges = 1): Record<string, string> {
  const at = (name: keyof typeof PORTS): number => PORTS[name] + portOffset;
  const further = Array.from({ length: edges - 1 }, (_, i) => [
    `mqtt of edge-${i + 2}`,
    `mqtt://127.0.0.1:${at('mqtt') + edgePortOffset(i + 1)}`,
  ]);
  return {
    page: `http://127.0.0.1:${at('gateway')}/`,
    api: `http://127.0.0.1:${at('gateway')}/api/v1`,
    mqtt: `mqtt://127.0.0.1:${at('mqtt')}`,
    websocket: `ws://127.0.0.1:${at('mqttWs')}`,
    ingest: `http://127.0.0.1:${at('edgeHttp')}/ingest/v1/{site}/{device}`,
    metrics: `http://127.0.0.1:${at('edgeHttp')}/metrics`,
    ...Object.fromEntries(further),
  };
}

/** What the gateway says; null when it does not answer in time. */
async function ask<T>(portOffset: number, path: string): Promise<T | null> {
  try {
    const url = `http://127.0.0.1:${PORTS.gateway + portOffset}/api/v1${path}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(FIGURES_DEADLINE_MS) });
    return response.ok ? ((await response.json()) as T) : null;
  } catch {
    return null;
  }
}

/** What the gateway knows. */
export type Said = Pick<View, 'figures' | 'edges' | 'bottleneck'>;

/** The gateway's own figures, and the bottleneck that it knows of. */
export async function readFigures(portOffset: number): Promise<Said> {
  const [status, pressure] = await Promise.all([
    ask<Status>(portOffset, '/status'),
    ask<Pressure>(portOffset, '/pressure'),
  ]);
  return {
    figures: status?.figures ?? null,
    edges: status?.edges ?? [],
    bottleneck: pressure?.bottleneck ?? null,
  };
}

export function viewOf(run: Run, servers: readonly ServerLine[], said: Said): View {
  const whole =
    servers.every(({ state }) => state === 'ready') && run.apps.every(({ state }) => state === 'ready');
  return {
    state: run.state === 'running' && !whole ? 'degraded' : run.state,
    doing: run.doing,
    startedAt: run.startedAt,
    servers,
    apps: run.apps,
    addresses: addressesOf(run.portOffset, run.edges),
    ...said,
  };
}

export const STOPPED: View = {
  state: 'stopped',
  doing: '',
  startedAt: null,
  servers: [],
  apps: [],
  addresses: {},
  figures: null,
  edges: [],
  bottleneck: null,
};
