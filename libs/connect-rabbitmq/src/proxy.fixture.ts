import { createServer, connect as dialTcp, type Socket } from 'node:net';

/** A TCP proxy in front of the broker whose connections a test can cut or freeze. */
export interface Proxy {
  /** `target` with the proxy's address. */
  readonly url: string;
  /** Drops every connection; new ones are accepted again at once. */
  cut(): void;
  /** Passes nothing more from the broker to the client on the connections of now. */
  muteBroker(): void;
  close(): Promise<void>;
}

export async function openProxy(target: string): Promise<Proxy> {
  const to = new URL(target);
  const pairs = new Set<readonly [client: Socket, broker: Socket]>();
  const server = createServer((client) => {
    const broker = dialTcp(Number(to.port), to.hostname);
    const pair = [client, broker] as const;
    pairs.add(pair);
    client.pipe(broker);
    broker.pipe(client);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        client.destroy();
        broker.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as { port: number };
  const url = new URL(target);
  url.host = `127.0.0.1:${address.port}`;
  const cut = (): void => {
    for (const [client, broker] of pairs) {
      client.destroy();
      broker.destroy();
    }
  };
  return {
    url: url.href,
    cut,
    muteBroker: () => {
      for (const [client, broker] of pairs) {
        broker.unpipe(client);
        broker.resume();
      }
    },
    close: () => {
      cut();
      return new Promise((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
