import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd, type Scope } from './scope.ts';

/** A TCP wire to a real server, for tests in which that server is to be away or silent without touching it. */
export interface Wire {
  /** The address of the target, by way of the wire. */
  readonly url: string;
  /** While frozen, bytes wait and nothing closes: the peer is silent. */
  freeze(frozen: boolean): void;
  /**
   * From the next bytes on each piece (64 KiB at most) takes so much longer, one after the other on a connection: a
   * server that is slow. 0: as fast as it is.
   */
  slow(pieceMs: number): void;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Takes connections again, on the same port. */
  mend(): Promise<void>;
}

export async function wireTo(scope: Scope, target: string): Promise<Wire> {
  const far = new URL(target);
  const sockets = new Set<Socket>();
  let frozen = false;
  let pieceMs = 0;
  let faster = new AbortController();
  const late = async (from: Socket, to: Socket, chunk: Buffer): Promise<void> => {
    from.pause();
    await delay(pieceMs, undefined, { signal: faster.signal }).catch(() => undefined); // no longer slow
    if (!to.destroyed) to.write(chunk);
    if (!frozen) from.resume();
  };
  // Without delay, as the clients on both sides set it: else Nagle's algorithm holds long answers back for 40 ms.
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: Number(far.port), host: far.hostname, noDelay: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (pieceMs === 0) to.write(chunk);
        else void late(from, to, chunk);
      });
      // The other side learns of it through 'close', which always follows.
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      if (frozen) from.pause();
    }
  });
  const listen = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  await listen(0);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const near = new URL(target);
  near.port = String(port);
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  atEnd(scope, cut);
  return {
    url: near.href,
    freeze: (on) => {
      frozen = on;
      for (const socket of sockets) {
        if (on) socket.pause();
        else socket.resume();
      }
    },
    slow: (ms) => {
      pieceMs = ms;
      faster.abort();
      faster = new AbortController();
    },
    cut,
    mend: () => listen(port),
  };
}
