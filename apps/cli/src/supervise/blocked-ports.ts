import { WeirError } from '@weir/flow';
import { PORTS, type PortName } from '@weir/topology';
import type { AppInstance } from './apps.ts';

/**
 * Ports to which browsers and Node's `fetch` refuse to connect over HTTP and WebSocket, from the WHATWG's Fetch
 * Standard ("bad port"); those below 1024 are not in question here.
 */
export const BLOCKED_PORTS: ReadonlySet<number> = new Set([
  ...[1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566],
  ...[6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
]);

/** Servers that are asked over HTTP, by people's browsers or by Weir itself. */
const HTTP_SERVERS = ['rabbitmqManagement', 'minio', 'minioConsole'] as const satisfies readonly PortName[];

/** Asked over HTTP, or as a WebSocket. */
const isHttp = (name: PortName): boolean => name !== 'mqtt' && name !== 'mqttTls';

/**
 * Refuses an offset that would put something that is asked over HTTP where nobody may ask it.
 * @param offset `ports.offset`
 * @throws WeirError WEIR_CONFIG_INVALID with an offset a little above that is free of this
 */
export function requireReachable(
  apps: readonly Pick<AppInstance, 'name' | 'port' | 'doors' | 'portOffset'>[],
  offset: number,
): void {
  const ofApps = apps.flatMap(({ name, port, doors, portOffset }) =>
    [port, ...doors].filter(isHttp).map((one) => ({ owner: `the ${name}`, port: PORTS[one] + portOffset })),
  );
  const ports = [
    ...ofApps,
    ...HTTP_SERVERS.map((name) => ({ owner: `the server ${name}`, port: PORTS[name] })),
  ];
  const blocked = (by: number) => ports.find(({ port }) => BLOCKED_PORTS.has(port + by));
  const found = blocked(offset);
  if (found === undefined) return;
  // The blocked ports are few, and all lie below 10,081: there is one.
  let other = offset + 10;
  while (blocked(other) !== undefined) other += 10;
  throw new WeirError(
    'WEIR_CONFIG_INVALID',
    'fatal',
    `ports.offset ${offset} would put ${found.owner} at port ${found.port + offset}, to which browsers and fetch ` +
      `refuse to connect (a bad port of the Fetch Standard). Take another offset, such as ${other}.`,
  );
}
