import { createServer, type Server } from 'node:net';
import { WeirError } from '@weir/flow';
import { isPortFree } from '@weir/infra';
import { PORTS, type PortName } from '@weir/topology';
import { atEnd, type Scope } from './scope.ts';

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server));
  });
}

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

/** `n` different loopback ports that were free a moment ago. */
export async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: n }, () => listen(0)));
  const ports = servers.flatMap((server) => {
    const address = server?.address();
    return typeof address === 'object' && address !== null ? [address.port] : [];
  });
  await Promise.all(servers.map((server) => server && close(server)));
  return ports;
}

/** Ports that an app (not a server) listens on. */
export const APP_PORTS: readonly PortName[] = [
  'mqtt',
  'mqttTls',
  'mqttWs',
  'edgeHttp',
  'gateway',
  'aggregatorHttp',
  'archiverHttp',
  'alerterHttp',
  'fleetHttp',
  'deadLettersHttp',
  'lagMonitorHttp',
];
/**
 * Offsets of one test lie a multiple of this apart. No two app ports differ by a multiple of it, so the port sets of
 * two tests never meet; `free-ports.test.ts` checks that.
 */
export const SLOT_SIZE = 22;
/** A port that no app uses; listening on it reserves the slot among all test processes of the machine. */
export const RESERVATION_PORT = 8_089;
const FIRST_OFFSET = 12_000;
// Below 32,768, where Linux begins to hand out ports to outgoing connections.
const SLOTS = Math.floor(
  (32_767 - Math.max(...APP_PORTS.map((name) => PORTS[name])) - FIRST_OFFSET) / SLOT_SIZE,
);

/** A port offset at which every app port is free, held for this scope against other tests. */
export async function freeOffset(scope: Scope): Promise<number> {
  const start = Math.floor(Math.random() * SLOTS);
  for (let i = 0; i < SLOTS; i++) {
    const offset = FIRST_OFFSET + ((start + i) % SLOTS) * SLOT_SIZE;
    const reservation = await listen(RESERVATION_PORT + offset);
    if (reservation === undefined) continue;
    const free = await Promise.all(APP_PORTS.map((name) => isPortFree(PORTS[name] + offset)));
    if (free.every(Boolean)) {
      reservation.unref();
      atEnd(scope, () => close(reservation));
      return offset;
    }
    await close(reservation);
  }
  throw new WeirError('WEIR_PORT_BUSY', 'fatal', 'No free range of ports for the apps of this test.');
}
