import type { Status } from '@weir/api';
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

/** The gateway's own figures; null when it does not answer in time. */
export async function readFigures(portOffset: number): Promise<Status['figures'] | null> {
  try {
    const url = `http://127.0.0.1:${PORTS.gateway + portOffset}/api/v1/status`;
    const response = await fetch(url, { signal: AbortSignal.timeout(FIGURES_DEADLINE_MS) });
    return response.ok ? ((await response.json()) as Status).figures : null;
  } catch {
    return null;
  }
}

export function viewOf(run: Run, servers: readonly ServerLine[], figures: Status['figures'] | null): View {
  const whole =
    servers.every(({ state }) => state === 'ready') && run.apps.every(({ state }) => state === 'ready');
  return {
    state: run.state === 'running' && !whole ? 'degraded' : run.state,
    doing: run.doing,
    startedAt: run.startedAt,
    servers,
    apps: run.apps,
    addresses: addressesOf(run.portOffset, run.edges),
    figures,
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
};
