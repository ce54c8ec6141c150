import { isIPv4, isIPv6 } from 'node:net';
import type { Config } from '@weir/config';
import { edgePortOffset, PORTS } from '@weir/topology';
import { usage } from '../settings.ts';
import { readRun } from '../supervise/run-file.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIPv4(host) && host.startsWith('127.')) || (isIPv6(host) && host === '::1');

/**
 * `host:port` → where a fleet dials. Loopback addresses only: a load tool pointed at somebody else's broker is an attack
 * on it, however it was meant.
 */
export function targetOf(text: string): Target {
  const match = /^(?:mqtt:\/\/)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})\/?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? 0);
  if (match === null || port < 1 || port > 65_535)
    throw usage(`--edge takes host:port, for example 127.0.0.1:1883; got "${text}".`);
  if (!isLoopback(host))
    throw usage(`--edge ${text}: a fleet loads edges of this machine only (127.0.0.0/8, ::1, localhost).`);
  return { host, port };
}

/** The edges that `weir up` runs in this data folder; one at the usual port when it runs none there. */
export function edgesOf(folder: string, config: Config): readonly Target[] {
  const found = readRun(folder);
  const edges = found?.alive === true ? found.run.edges : 1;
  return Array.from({ length: edges }, (_, i) => ({
    host: '127.0.0.1',
    port: PORTS.mqtt + config.ports.offset + edgePortOffset(i),
  }));
}

/** Processes of the apps that `weir up` runs in this data folder, by name. */
export function processesOf(folder: string): ReadonlyMap<string, number> {
  const found = readRun(folder);
  const apps = found?.alive === true ? found.run.apps : [];
  return new Map(
    apps.flatMap(({ name, process: id }) => (id === null || name === 'fleet' ? [] : [[name, id.pid]])),
  );
}
