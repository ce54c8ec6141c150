import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import { connectError } from './errors.ts';
import type { ConnectionOptions } from './types.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;
/**
 * A broker that answers heartbeats may still not answer: while it restarts, a channel or a queue may never come up. The
 * connection is then given up, and the next one finds things as they are.
 */
export const ANSWER_TIMEOUT_MS = 20_000;
const DEFAULT_HEARTBEAT_MS = 10_000;

/** The virtual host that an AMQP address names. */
export function vhostOf(url: string): string {
  const path = new URL(url).pathname.slice(1);
  return path === '' ? '/' : decodeURIComponent(path);
}

/** Opens one AMQP connection. Throws `WeirError` (see `connectError`). */
export async function dial(options: ConnectionOptions): Promise<ChannelModel> {
  try {
    const url = new URL(options.url);
    url.searchParams.set(
      'heartbeat',
      String(Math.max(1, Math.round((options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS) / 1_000))),
    );
    const connection = await connect(url.href, {
      noDelay: true,
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: options.name ?? 'weir' },
    });
    // Without a listener an `error` event would end the process; owners listen for `close`, which follows it.
    connection.on('error', () => {});
    return connection;
  } catch (error) {
    throw connectError(options.url, error);
  }
}

/** Ends a connection in any state: politely, and after a deadline by dropping the socket. Never throws. */
export async function hangUp(connection: ChannelModel): Promise<void> {
  const { stream } = connection.connection as unknown as { stream: Socket };
  const deadline = setTimeout(() => stream.destroy(), CLOSE_TIMEOUT_MS);
  try {
    // A destroyed socket gives no answer to the closing handshake; its end is the answer.
    await Promise.race([
      connection.close(),
      new Promise<void>((resolve) => {
        stream.once('close', resolve);
        if (stream.destroyed) resolve();
      }),
    ]);
  } catch {
    // Already closed: nothing is left to do.
  } finally {
    clearTimeout(deadline);
    stream.destroy();
  }
}
