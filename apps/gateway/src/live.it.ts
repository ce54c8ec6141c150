import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { type LiveMessage, liveMessage, problem } from '@weir/api';
import { type OutgoingMessage, openPublisher } from '@weir/connect-rabbitmq';
import { atEnd, until } from '@weir/testkit';
import { EXCHANGES, telemetryKey } from '@weir/topology';
import { bench, log } from './gateway.fixture.ts';

const BUFFER = 500;
const scope = { after };
const it = await bench(scope, { WEIR_GATEWAY__LIVE_BUFFER: String(BUFFER), WEIR_GATEWAY__LIVE_CLIENTS: '4' });
const publisher = openPublisher({ url: it.space.rabbitmqUrl, log });
atEnd(scope, () => publisher.close());
await publisher.connect();
const live = it.app.url.replace('http', 'ws');

function batch(site: string, metric: string, lines: readonly object[]): OutgoingMessage {
  return {
    exchange: EXCHANGES.telemetry.name,
    key: telemetryKey('normal', site, metric),
    contentType: 'application/x-ndjson',
    headers: { site, metric, class: 'normal', count: lines.length },
    body: Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
  };
}
const readings = (device: string, from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({
    device,
    ts: from + i,
    seq: i,
    value: i / 2,
    unit: 'C',
    at: from + i,
  }));

interface Client {
  readonly socket: WebSocket;
  readonly messages: LiveMessage[];
  readonly closed: Promise<CloseEvent>;
}
async function open(t: TestContext, query = ''): Promise<Client> {
  const socket = new WebSocket(`${live}/api/v1/live${query}`);
  const messages: LiveMessage[] = [];
  socket.addEventListener('message', ({ data }) =>
    messages.push(liveMessage.parse(JSON.parse(String(data)))),
  );
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.addEventListener('close', resolve);
  });
  atEnd(t, async () => {
    socket.close();
    await closed;
  });
  await until(() => messages.some((message) => message.type === 'feed' && message.connected), {
    deadlineMs: 20_000,
    what: 'the live feed',
  });
  return { socket, messages, closed };
}
const received = ({ messages }: Client) =>
  messages.flatMap((message) => (message.type === 'readings' ? message.readings : []));
const dropped = ({ messages }: Client) =>
  messages.reduce((sum, message) => sum + (message.type === 'readings' ? message.dropped : 0), 0);

async function metric(name: string): Promise<number> {
  const line = (await it.app.metrics()).split('\n').find((one) => one.startsWith(`${name}{`));
  return Number(line?.split(' ').at(-1) ?? 0);
}
const clients = () => metric('weir_live_clients');

test('a client gets what it asked for, in order and with every field', async (t) => {
  const all = await open(t);
  const hall = await open(t, '?site=hall');
  const pump = await open(t, '?site=hall&device=pump-1');
  assert.deepEqual(pump.messages[0], { type: 'hello', site: 'hall', device: 'pump-1', buffer: BUFFER });
  const now = Date.now();
  await publisher.publish([
    batch('hall', 'temperature', [...readings('pump-1', now, 3), ...readings('pump-2', now, 2)]),
    batch('yard', 'temperature', readings('pump-1', now, 1)),
    batch('hall', 'rpm', [{ device: 'pump-1', ts: now, at: now + 5, value: 7 }]),
  ]);
  await until(() => received(all).length === 7, { deadlineMs: 10_000, what: 'all readings' });
  await until(() => received(hall).length === 6 && received(pump).length === 4, {
    deadlineMs: 10_000,
    what: 'the filtered ones',
  });
  assert.deepEqual(received(pump), [
    ...[0, 1, 2].map((i) => ({
      site: 'hall',
      device: 'pump-1',
      metric: 'temperature',
      value: i / 2,
      unit: 'C',
      ts: now + i,
      at: now + i,
    })),
    { site: 'hall', device: 'pump-1', metric: 'rpm', value: 7, ts: now, at: now + 5 },
  ]);
  assert.ok(received(hall).every(({ site }) => site === 'hall'));
});

test('what cannot be read is counted and the rest goes on', async (t) => {
  const client = await open(t, '?device=odd');
  const before = await metric('weir_live_unreadable_messages_total');
  const odd = batch('hall', 'x', []);
  await publisher.publish([
    { ...odd, body: Buffer.from('{"device":"odd","ts":1\n{"device":"odd","ts":2,"value":5}\n"odd"\n') },
    {
      ...odd,
      body: Buffer.from('{"device":"odd","ts":3,"value":"high"}\n'),
      headers: { site: 'hall', metric: 'x' },
    },
    { ...odd, body: Buffer.from('{"device":"odd","ts":4,"value":6}\n') },
  ]);
  await until(() => received(client).length === 2, { deadlineMs: 10_000, what: 'the readable ones' });
  assert.deepEqual(
    received(client).map(({ value }) => value),
    [5, 6],
  );
  assert.equal((await metric('weir_live_unreadable_messages_total')) - before, 3);
});

test('alerts are pushed to every client', async (t) => {
  const client = await open(t, '?device=another');
  const at = new Date().toISOString();
  const alert = {
    ...{ id: randomUUID(), rule: 'too-warm', site: 'hall', device: 'pump-1', metric: 'temperature' },
    ...{ kind: 'threshold', severity: 'critical', labels: {}, state: 'firing', value: 31, threshold: 30 },
    ...{ startedAt: at, firedAt: at, resolvedAt: null, updatedAt: at },
    ...{ acknowledgedAt: null, acknowledgedBy: null, suppressedBy: null },
  };
  await publisher.publish([
    {
      exchange: EXCHANGES.alerts.name,
      key: '',
      contentType: 'application/json',
      headers: { severity: 'critical', site: 'hall', kind: 'threshold' },
      body: Buffer.from(JSON.stringify(alert)),
    },
  ]);
  const pushed = await until(() => client.messages.find((message) => message.type === 'alert'), {
    deadlineMs: 10_000,
    what: 'the alert',
  });
  assert.deepEqual(pushed, { type: 'alert', alert });
});

/** A client that says hello and then never reads from its socket. */
async function openDeaf(t: TestContext): Promise<Socket> {
  const { hostname, port, host } = new URL(it.app.url);
  const socket = connect(Number(port), hostname);
  atEnd(t, () => {
    socket.destroy();
  });
  socket.write(
    [
      'GET /api/v1/live?device=flood HTTP/1.1',
      `Host: ${host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      '\r\n',
    ].join('\r\n'),
  );
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.pause();
  return socket;
}

test('a client that never reads costs a bounded buffer, and nobody else notices', async (t) => {
  const deaf = await openDeaf(t);
  const quick = await open(t, '?device=flood');
  const rounds = 120;
  const perRound = 1_000;
  const before = await metric('process_resident_memory_bytes');
  for (let round = 0; round < rounds; round++) {
    await publisher.publish([batch('hall', 'flow', readings('flood', round * perRound, perRound))]);
  }
  await until(() => received(quick).length + dropped(quick) === rounds * perRound, {
    deadlineMs: 60_000,
    what: 'the quick client to have everything or to be told what it missed',
  });
  assert.ok((await metric('weir_live_delivered_readings_total')) >= received(quick).length);
  const grown = (await metric('process_resident_memory_bytes')) - before;
  assert.ok(grown < 64 << 20, `the gateway grew by ${(grown / (1 << 20)).toFixed(0)} MiB`);
  // Now it reads: first what was in its socket, then a message that says how much it missed.
  let text = '';
  deaf.setEncoding('latin1');
  deaf.on('data', (chunk: string) => {
    text += chunk;
  });
  deaf.resume();
  const told = () => [...text.matchAll(/"dropped":(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  await until(() => told() > 0, { deadlineMs: 15_000, what: 'the slow client to be told what it missed' });
  const got = () => [...text.matchAll(/"metric":"flow"/g)].length;
  await until(() => got() + told() === rounds * perRound, {
    deadlineMs: 15_000,
    what: 'got and dropped to add up',
  });
  t.diagnostic(
    `of ${rounds * perRound}: slow client got ${got()}, missed ${told()}; memory grew ${grown} bytes`,
  );
});

test('one client too many, and a page of another address, are refused with a problem', async (t) => {
  await until(async () => (await clients()) === 0, {
    deadlineMs: 10_000,
    what: 'the clients of the tests before to be gone',
  });
  for (let i = 0; i < 4; i++) await open(t);
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const refused = async (headers: Record<string, string>) => {
    const { request } = await import('node:http');
    return new Promise<{ status: number; body: unknown }>((resolve, reject) => {
      const ask = request(`${it.app.url}/api/v1/live`, {
        headers: { ...upgrade, 'sec-websocket-key': randomBytes(16).toString('base64'), ...headers },
      });
      ask.on('response', async (response) => {
        let body = '';
        for await (const chunk of response) body += chunk;
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(body) });
      });
      ask.on('upgrade', () => reject(new Error('the connection was upgraded')));
      ask.on('error', reject);
      ask.end();
    });
  };
  const full = await refused({});
  assert.equal(full.status, 503);
  assert.equal(problem.parse(full.body).code, 'live-full');
});

test('a page of another address may not read along', async () => {
  const socket = new WebSocket(`${live}/api/v1/live`, {
    headers: { origin: 'https://elsewhere.example' },
  } as never);
  const ended = await new Promise<string>((resolve) => {
    socket.addEventListener('open', () => resolve('open'));
    socket.addEventListener('error', () => resolve('refused'));
  });
  assert.equal(ended, 'refused');
});

test('SIGTERM says goodbye to the clients and ends with 0', async (t) => {
  const client = await open(t);
  const ended = it.app.stop();
  assert.equal((await client.closed).code, 1001);
  assert.deepEqual(await ended, { code: 0, signal: null });
});
