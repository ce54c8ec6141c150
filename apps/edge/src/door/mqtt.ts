import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { WeirError } from '@weir/flow';
import { listen } from '@weir/observe';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { EdgeEvents } from '../events.ts';
import { Gate, type GateHouse } from '../gate/index.ts';
import type { Broker } from './broker.ts';
import { Porch } from './porch.ts';

export interface MqttListeners {
  readonly host: string;
  readonly tcpPort: number;
  readonly wsPort: number;
  readonly tlsPort: number;
  /** Of `readTls`. */
  readonly tls: TlsFiles | null;
}

export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface MqttDoor {
  /** Connections that wait to be let in. */
  readonly waiting: number;
  /** Closes the listeners; open connections go on. */
  stopAccepting(): void;
}

/** The kernel's queue of connections not accepted yet: a whole fleet reconnects at once. */
const BACKLOG = 4_096;

function readPem(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new WeirError(
      'WEIR_CONFIG_INVALID',
      'fatal',
      `The ${what} (${path}) cannot be read: ${(error as Error).message}.`,
      error,
    );
  }
}

/** Certificate and key, PEM; null when none is configured. Throws a sentence that names the file. */
export function readTls(files: { readonly certFile: string; readonly keyFile: string }): TlsFiles | null {
  if (files.certFile === '') return null;
  return {
    cert: readPem(files.certFile, 'TLS certificate, edge.tls.certFile'),
    key: readPem(files.keyFile, 'TLS key, edge.tls.keyFile'),
  };
}

/** Listens for MQTT over TCP, over WebSocket and, when a certificate is configured, over TLS. */
export async function openMqttDoor(
  broker: Broker,
  house: GateHouse,
  events: EdgeEvents,
  listeners: MqttListeners,
): Promise<MqttDoor> {
  const { connectMs, connections, connectRate } = house.limits;
  const porch = new Porch(connectRate);
  const accept = (transport: Duplex, bytesRead?: () => number): void => {
    if (house.gates.size + porch.waiting >= connections) {
      events.refused('connections');
      transport.on('error', () => {});
      transport.destroy();
      return;
    }
    porch.arrive(transport, () => broker.handle(new Gate(transport, house, bytesRead)));
  };
  const acceptSocket = (socket: Socket): void => {
    socket.setNoDelay(true);
    accept(socket);
  };

  // half open: what a device sent before its FIN may still be held back, and is to come in
  const servers: { server: Server; port: number; what: string }[] = [
    { server: createServer({ allowHalfOpen: true }, acceptSocket), port: listeners.tcpPort, what: 'MQTT' },
  ];
  // the time for a CONNECT begins with the upgrade; before it a peer that says nothing has as much again
  const slowness = {
    headersTimeout: connectMs,
    requestTimeout: connectMs,
    connectionsCheckingInterval: house.sweepMs,
  };
  const web = createHttpServer(slowness, (_request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
    response.end('MQTT over WebSocket\n');
  });
  const sockets = new WebSocketServer({
    server: web,
    maxPayload: house.limits.packetBytes,
    perMessageDeflate: false,
    // [MQTT-6.0.0-3]
    handleProtocols: (offered) =>
      offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false,
  });
  sockets.on('connection', (socket, { socket: under }) =>
    accept(createWebSocketStream(socket), () => under.bytesRead),
  );
  // the listening errors are reported by `listen`
  sockets.on('error', () => {});
  servers.push({ server: web, port: listeners.wsPort, what: 'MQTT over WebSocket' });
  if (listeners.tls !== null) {
    const tls = createTlsServer({
      ...listeners.tls,
      allowHalfOpen: true,
      minVersion: 'TLSv1.2',
      handshakeTimeout: connectMs,
    });
    tls.on('secureConnection', acceptSocket);
    tls.on('tlsClientError', (error) => events.clientError(null, error));
    servers.push({ server: tls, port: listeners.tlsPort, what: 'MQTT over TLS' });
  }
  for (const { server, port, what } of servers) {
    // also those that are not at a gate yet, in a handshake of TLS or HTTP
    server.maxConnections = connections;
    server.on('drop', () => events.refused('connections'));
    await listen(server, port, listeners.host, what, BACKLOG);
    server.on('error', (error) => events.failed(`${what} listener`, error));
  }
  return {
    get waiting() {
      return porch.waiting;
    },
    stopAccepting() {
      for (const { server } of servers) server.close();
      porch.close();
    },
  };
}
