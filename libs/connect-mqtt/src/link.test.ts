import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Packet, parser } from 'mqtt-packet';
import { encodeTopic } from './frames.ts';
import { Link, type LinkHandlers } from './link.ts';

/** A listener that shows each packet to `answer`, which may write bytes back. */
async function broker(t: TestContext, answer: (packet: Packet, socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const packets = parser();
    packets.on('packet', (packet: Packet) => answer(packet, socket));
    socket.on('data', (chunk) => packets.parse(chunk));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
const CONNACK = (code: number) => Buffer.from([0x20, 2, 0, code]);
const handlers = (over: Partial<LinkHandlers> = {}): LinkHandlers => ({
  onAck: () => {},
  onClose: () => {},
  ...over,
});
const ack = (socket: Socket, head: number, id: number) =>
  socket.write(Buffer.from([head, 2, id >> 8, id & 255]));

test('publishes at QoS 1 and 2 are acknowledged once each', async (t) => {
  const seen: string[] = [];
  const port = await broker(t, (packet, socket) => {
    if (packet.cmd === 'connect') socket.write(CONNACK(0));
    if (packet.cmd === 'publish') {
      seen.push(`${packet.topic} ${packet.payload} ${packet.qos} ${packet.dup}`);
      ack(socket, packet.qos === 1 ? 0x40 : 0x50, packet.messageId ?? 0);
    }
    if (packet.cmd === 'pubrel') ack(socket, 0x70, packet.messageId ?? 0);
    if (packet.cmd === 'disconnect') seen.push('disconnect');
  });
  const acks: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const link = new Link(
    { host: '127.0.0.1', port, clientId: 'd' },
    handlers({ onAck: (id) => (acks.push(id) === 2 ? resolve() : undefined) }),
  );
  await link.opened();
  link.publish(encodeTopic('a/b'), Buffer.from('1'), { qos: 1, id: 7 });
  link.publish(encodeTopic('a/b'), Buffer.from('2'), { qos: 2, id: 65_535, dup: true });
  await promise;
  await link.end();
  assert.deepEqual(acks, [7, 65_535]);
  assert.deepEqual(seen, ['a/b 1 1 false', 'a/b 2 2 true', 'disconnect']);
});

test('a refusal says why and whether trying again can help', async (t) => {
  for (const [code, retry, sentence] of [
    [5, 'fatal', /may not connect/],
    [4, 'fatal', /password is wrong/],
    [3, 'transient', /not available/],
  ] as const) {
    const port = await broker(t, (_, socket) => socket.write(CONNACK(code)));
    const link = new Link({ host: '127.0.0.1', port, clientId: 'd' }, handlers());
    await assert.rejects(link.opened(), (error: Error & { retry?: string }) => {
      assert.match(error.message, sentence);
      assert.equal(error.retry, retry);
      return true;
    });
  }
});

test('a broker that is away, silent or gone is a transient error', async (t) => {
  const silent = await broker(t, () => {});
  const options = { host: '127.0.0.1', clientId: 'd' };
  await assert.rejects(new Link({ ...options, port: 1 }, handlers()).opened(), /ECONNREFUSED/);
  await assert.rejects(
    new Link({ ...options, port: silent, connectTimeoutMs: 30 }, handlers()).opened(),
    /no CONNACK within 30 ms/,
  );
  const closing = await broker(t, (packet, socket) =>
    packet.cmd === 'connect' ? socket.write(CONNACK(0)) : socket.destroy(),
  );
  const lost = Promise.withResolvers<Error>();
  const link = new Link({ ...options, port: closing }, handlers({ onClose: lost.resolve }));
  await link.opened();
  link.publish(encodeTopic('t'), Buffer.alloc(1), { qos: 1, id: 1 });
  assert.match((await lost.promise).message, /lost 127\.0\.0\.1/);
  assert.equal(link.isOpen, false);
});
