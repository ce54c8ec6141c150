import { connect, createServer, type Server, type Socket } from 'node:net';
import { atEnd, type Scope } from './scope.ts';

/** A TCP proxy on 127.0.0.1 in front of one server, whose connections a test can cut. */
export interface CutProxy {
  readonly port: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Connections that were accepted so far. */
  readonly accepted: number;
  /** Bytes that went to the server so far. */
  readonly sent: number;
  /** Resets every connection; new ones are accepted at once. */
  cut(): void;
  /** From the next bytes on passes nothing back from the server, on the connections of now. */
  mute(): void;
  /** Refuses new connections and cuts the open ones, until `admit`. */
  refuse(): void;
  admit(): void;
  close(): Promise<void>;
}

/**
 * Node cannot reset a socket that is being shut down, or is destroyed by someone else before the reset is through: its
 * handle then stays open for good and keeps the process alive. So nobody else may touch it, and one that has already
 * said goodbye is closed without a reset.
 */
function reset(socket: Socket): void {
  socket.unpipe();
  socket.removeAllListeners('close');
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

export async function cutProxy(scope: Scope, target: { host: string; port: number }): Promise<CutProxy> {
  const pairs = new Set<readonly [client: Socket, server: Socket]>();
  let refusing = false;
  let accepted = 0;
  let sent = 0;
  const listener: Server = createServer((client) => {
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    accepted++;
    const server = connect(target.port, target.host);
    const pair = [client, server] as const;
    pairs.add(pair);
    client.on('data', (bytes) => {
      sent += bytes.length;
    });
    client.pipe(server);
    server.pipe(client);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => {}); // the other end sees it as its own loss
      socket.on('close', () => {
        pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', resolve);
  });
  const cut = (): void => {
    for (const pair of pairs) {
      pairs.delete(pair);
      for (const socket of pair) reset(socket);
    }
  };
  const close = async (): Promise<void> => {
    cut();
    await new Promise<void>((resolve) => listener.close(() => resolve()));
  };
  atEnd(scope, close);
  return {
    port: (listener.address() as { port: number }).port,
    get open() {
      return pairs.size;
    },
    get accepted() {
      return accepted;
    },
    get sent() {
      return sent;
    },
    cut,
    mute() {
      for (const [client, server] of pairs) {
        server.unpipe(client);
        server.resume();
      }
    },
    refuse() {
      refusing = true;
      cut();
    },
    admit() {
      refusing = false;
    },
    close,
  };
}
