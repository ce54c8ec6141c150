import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { atEnd, type Scope, until } from '@weir/testkit';
import mqtt, { type Packet } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { post } from './testing/post.ts';
import { encodeConnect, type RawClient } from './testing/raw-client.ts';
import { openRig, type Rig, SECRET } from './testing/rig.ts';
import { TEST_CERT, TEST_KEY } from './testing/tls-fixture.ts';

const TOPIC = 'telemetry/v1/plant/d1';
const DEADLINE = { deadlineMs: 10_000, everyMs: 2 };

async function connect(scope: Scope, rig: Rig, device: string, options: object = {}): Promise<RawClient> {
  const client = await rig.connect({ clientId: device, username: device, password: SECRET, ...options });
  atEnd(scope, () => client.drop());
  assert.equal((await client.accepted()).returnCode, 0);
  return client;
}
const publishes = (client: RawClient): number => client.inbox.filter(({ cmd }) => cmd === 'publish').length;
const acks = (client: RawClient): number => client.inbox.filter(({ cmd }) => cmd === 'puback').length;

function burst(client: RawClient, count: number, fields: object = {}): void {
  const packets = Array.from({ length: count }, (_, i) =>
    mqtt.generate({
      cmd: 'publish',
      topic: TOPIC,
      payload: '{"value":1}',
      qos: 1,
      retain: false,
      dup: false,
      messageId: i + 1,
      ...fields,
    } as Packet),
  );
  client.write(Buffer.concat(packets));
}

test('admin paths and status are on the same port', async (t) => {
  const rig = await openRig(t);
  for (const path of ['/livez', '/readyz', '/version', '/metrics', '/edge/status']) {
    assert.equal((await fetch(`${rig.url}${path}`)).status, 200, path);
  }
  const client = await connect(t, rig, 'd1');
  await client.publish(TOPIC, '[1,2,3]');
  const status = (await (await fetch(`${rig.url}/edge/status`)).json()) as {
    connections: number;
    totals: object;
  };
  assert.equal(status.connections, 1);
  assert.deepEqual(status.totals, { publishes: 1, accepted: 3, buried: 0, dropped: 0, connects: 1 });
  assert.equal(await rig.metric('weir_ledger_readings_total', { hop: 'edge', outcome: 'stored' }), 3);
  assert.equal(await rig.metric('weir_edge_connections'), 1);
});

test('MQTT over WebSocket', async (t) => {
  const rig = await openRig(t);
  const socket = new WebSocket(`ws://127.0.0.1:${rig.wsPort}/mqtt`, 'mqtt');
  atEnd(t, () => socket.terminate());
  const packets: Packet[] = [];
  const parser = mqtt.parser();
  parser.on('packet', (packet: Packet) => packets.push(packet));
  socket.on('message', (data) => parser.parse(data as Buffer));
  await new Promise((resolve) => socket.once('open', resolve));
  assert.equal(socket.protocol, 'mqtt'); // [MQTT-6.0.0-4]
  socket.send(encodeConnect({ clientId: 'd1' }));
  const packet = mqtt.generate({
    cmd: 'publish',
    topic: TOPIC,
    payload: '7',
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1,
  });
  // [MQTT-6.0.0-2] a packet may be spread over frames
  socket.send(packet.subarray(0, 5));
  socket.send(packet.subarray(5));
  await until(() => packets.some(({ cmd }) => cmd === 'puback'), {
    ...DEADLINE,
    what: 'the acknowledgement',
  });
  assert.deepEqual(
    (await rig.envelopes()).map(({ payload }) => payload),
    [7],
  );
});

test('MQTT over TLS', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-tls-'));
  atEnd(t, () => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'cert.pem'), TEST_CERT);
  await writeFile(join(dir, 'key.pem'), TEST_KEY);
  const rig = await openRig(t, {
    env: {
      WEIR_EDGE__TLS__CERT_FILE: join(dir, 'cert.pem'),
      WEIR_EDGE__TLS__KEY_FILE: join(dir, 'key.pem'),
    },
  });
  const socket = tlsConnect({ port: rig.tlsPort, host: '127.0.0.1', ca: TEST_CERT, servername: 'localhost' });
  atEnd(t, () => {
    socket.destroy();
  });
  await once(socket, 'secureConnect');
  const packets: Packet[] = [];
  const parser = mqtt.parser();
  parser.on('packet', (packet: Packet) => packets.push(packet));
  socket.on('data', (data) => parser.parse(data));
  socket.write(encodeConnect({ clientId: 'd1' }));
  socket.write(
    mqtt.generate({
      cmd: 'publish',
      topic: TOPIC,
      payload: '7',
      qos: 1,
      retain: false,
      dup: false,
      messageId: 1,
    }),
  );
  await until(() => packets.some(({ cmd }) => cmd === 'puback'), {
    ...DEADLINE,
    what: 'the acknowledgement',
  });
  assert.deepEqual(
    (await rig.envelopes()).map(({ payload }) => payload),
    [7],
  );
});

test('anonymous mode is refused on any address but loopback', async (t) => {
  await assert.rejects(openRig(t, { env: { WEIR_PORTS__HOST: '0.0.0.0' } }), /loopback address only/);
});

test('a certificate that cannot be read stops the start with its path', async (t) => {
  await assert.rejects(
    openRig(t, {
      env: { WEIR_EDGE__TLS__CERT_FILE: '/nowhere/cert.pem', WEIR_EDGE__TLS__KEY_FILE: '/nowhere/key.pem' },
    }),
    /\/nowhere\/cert\.pem/,
  );
});

test('a revoked device is disconnected and cannot return; a new one can come', async (t) => {
  const rig = await openRig(t, { devices: [{ device: 'd1' }] });
  const d1 = await connect(t, rig, 'd1');
  await rig.setDevices([{ device: 'd2' }]);
  await d1.closed();
  const again = await rig.connect({ clientId: 'd1', username: 'd1', password: SECRET });
  assert.equal((await again.accepted()).returnCode, 5);
  await connect(t, rig, 'd2');
});

test('the in-flight window holds a flood back; all of it is acknowledged in order', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__INFLIGHT: '5' } });
  const client = await connect(t, rig, 'd1');
  burst(client, 300);
  await until(() => acks(client) === 300, { ...DEADLINE, what: '300 acknowledgements' });
  const ids = client.inbox.flatMap((packet) => (packet.cmd === 'puback' ? [packet.messageId] : []));
  assert.deepEqual(
    ids,
    Array.from({ length: 300 }, (_, i) => i + 1),
  );
  assert.ok((await rig.metric('weir_edge_holds_total', { why: 'window' })) > 0);
});

test('publishes over the rate are slowed down, not dropped', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__PUBLISH_RATE: '100' } });
  const client = await connect(t, rig, 'd1');
  const started = performance.now();
  burst(client, 200, { qos: 0 });
  client.send({ cmd: 'pingreq' });
  await client.next('pingresp');
  const seconds = (performance.now() - started) / 1_000;
  assert.ok(seconds > 0.8, `200 publishes at 100 a second (burst 100) took ${seconds} s`);
  await until(async () => (await rig.envelopes()).length === 200, { ...DEADLINE, what: '200 readings' });
});

test('QoS 0 publishes that are held back come in after a FIN, and are counted when the connection breaks', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__PUBLISH_RATE: '100' } });
  const held = () => rig.metric('weir_edge_holds_total', { why: 'rate' });
  const count = (outcome: string) => rig.metric('weir_ledger_readings_total', { outcome });
  const polite = await connect(t, rig, 'd1');
  burst(polite, 200, { qos: 0 });
  await until(async () => (await held()) > 0, { ...DEADLINE, what: 'held back' });
  polite.socket.end();
  await until(async () => (await count('stored')) === 200, { ...DEADLINE, what: '200 readings' });
  await polite.closed();

  const before = await held();
  const broken = await connect(t, rig, 'd1');
  burst(broken, 200, { qos: 0 });
  await until(async () => (await held()) > before, { ...DEADLINE, what: 'held back' });
  broken.socket.resetAndDestroy();
  await until(async () => (await count('stored')) + (await count('dropped')) === 400, {
    ...DEADLINE,
    what: 'each is stored or counted',
  });
  assert.ok((await rig.metric('weir_ledger_readings_total', { reason: 'rate-limit' })) > 0);
});

test('a full spool: no acknowledgement, no loss, QoS 0 shed and counted, HTTP 429, connections stay', async (t) => {
  const rig = await openRig(t, {
    drains: false,
    env: { WEIR_EDGE__SPOOL__MAX_SIZE: '64KiB', WEIR_EDGE__SPOOL__SEGMENT_SIZE: '8KiB' },
  });
  const client = await connect(t, rig, 'd1', { keepalive: 1 });
  burst(client, 2_000);
  await until(() => rig.spool.state === 'blocked', { ...DEADLINE, what: 'the spool is full' });
  const before = await until(() => acks(client), { ...DEADLINE, what: 'some acknowledgements' });
  assert.ok(before < 2_000);
  const other = await connect(t, rig, 'd2');
  await other.publish('telemetry/v1/plant/d2', '[1,2]', { qos: 0 });
  await until(
    async () => (await rig.metric('weir_ledger_readings_total', { reason: 'qos0-pressure' })) === 2,
    {
      ...DEADLINE,
      what: 'two shed readings',
    },
  );
  const refused = await post(rig, '/ingest/v1/plant/d3', '1');
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal(await rig.metric('weir_backpressure_state', { hop: 'device-gate' }), 2);
  // our holding back is not the client's silence: longer than 1.5 times its keepalive
  const held = performance.now();
  await until(() => performance.now() - held > 2_500, { ...DEADLINE, what: 'the keepalive is long over' });
  assert.equal(client.isClosed, false);

  rig.drain();
  await until(() => acks(client) === 2_000, { ...DEADLINE, what: 'all acknowledgements' });
  assert.equal((await rig.envelopes()).filter(({ device }) => device === 'd1').length, 2_000);
  assert.equal((await post(rig, '/ingest/v1/plant/d3', '1')).status, 202);
});

test('prioritize: critical readings pass those that wait for room', async (t) => {
  const rig = await openRig(t, {
    drains: false,
    env: {
      WEIR_EDGE__SPOOL__MAX_SIZE: '64KiB',
      WEIR_EDGE__SPOOL__SEGMENT_SIZE: '8KiB',
      WEIR_EDGE__SPOOL__WHEN_FULL: 'prioritize',
      WEIR_EDGE__FORWARD__CRITICAL_METRICS: 'smoke',
    },
  });
  const client = await connect(t, rig, 'd1');
  const others = await Promise.all(Array.from({ length: 20 }, (_, i) => connect(t, rig, `other-${i}`)));
  burst(client, 2_000);
  await until(() => rig.spool.state === 'blocked', { ...DEADLINE, what: 'no room for other readings' });
  for (const other of others) burst(other, 100);
  const waiting = (): Promise<number | undefined> =>
    rig.metric('weir_buffer_used_items', { hop: 'device-gate' });
  const oneOfEach = async (): Promise<boolean> => (await waiting()) === others.length + 1;
  await until(oneOfEach, { ...DEADLINE, what: 'all are held' });
  const alarm = await connect(t, rig, 'd2');
  for (let i = 0; i < 10; i++) await alarm.publish('telemetry/v1/plant/d2/smoke', '1');
  assert.ok(await oneOfEach());
  assert.equal((await post(rig, '/ingest/v1/plant/d3/smoke', '1')).status, 202);
  assert.equal((await post(rig, '/ingest/v1/plant/d3/temperature', '1')).status, 429);
  assert.ok(acks(client) < 2_000);
  rig.drain();
  await until(() => acks(client) === 2_000, { ...DEADLINE, what: 'all acknowledgements' });
});

test('a subscriber that does not read is disconnected; who publishes does not notice', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__OUTWARD_BUFFER: '256KiB' } });
  const slow = await connect(t, rig, 'slow');
  await slow.subscribe(['telemetry/#', 0]);
  slow.socket.pause();
  const client = await connect(t, rig, 'd1');
  const large = JSON.stringify({ value: 1, note: 'x'.repeat(50_000) });
  await until(
    async () => {
      await client.publish(TOPIC, large);
      return (await rig.metric('weir_edge_refusals_total', { reason: 'outward-buffer' })) === 1;
    },
    { ...DEADLINE, what: 'the slow subscriber is disconnected', everyMs: 0 },
  );
  assert.equal(client.isClosed, false);
});

test('a subscriber that reads gets everything, retained first', async (t) => {
  const rig = await openRig(t);
  const client = await connect(t, rig, 'd1');
  await client.publish(TOPIC, '{"value":0}', { retain: true });
  const subscriber = await connect(t, rig, 'viewer');
  await subscriber.subscribe(['telemetry/#', 1]);
  burst(client, 500);
  await until(() => publishes(subscriber) === 501, { ...DEADLINE, what: '501 messages' });
});

test('connections over the limit are closed at once', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__CONNECTIONS: '2' } });
  await connect(t, rig, 'd1');
  await connect(t, rig, 'd2');
  const third = await rig.connect({ clientId: 'd3' });
  await third.closed();
  assert.equal(await rig.metric('weir_edge_refusals_total', { reason: 'connections' }), 1);
});

test('the queue of a client that is away is bounded', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__QUEUED_MESSAGES: '10' } });
  const away = await connect(t, rig, 'd1', { clean: false });
  await away.subscribe(['cmd/v1/plant/d1/+', 1]);
  await away.disconnect();
  const operator = await connect(t, rig, 'operator');
  for (let i = 0; i < 15; i++) await operator.publish('cmd/v1/plant/d1/set', String(i));
  const back = await connect(t, rig, 'd1', { clean: false });
  await until(() => publishes(back) === 10, { ...DEADLINE, what: 'ten queued commands' });
  assert.equal(await rig.metric('weir_edge_queue_full_total'), 5);
});

test('connects, disconnects, wills and device events become events; a will on a telemetry topic is a reading', async (t) => {
  const rig = await openRig(t, { devices: [{ device: 'd1' }] });
  const will = { topic: `${TOPIC}/online`, payload: Buffer.from('0'), qos: 1 as const };
  const client = await connect(t, rig, 'd1', { will });
  await client.publish('events/v1/plant/d1/boot', '{"firmware":"1.2"}');
  client.drop();
  await until(async () => (await rig.events()).some(({ body }) => body.kind === 'disconnected'), {
    ...DEADLINE,
    what: 'the disconnect',
  });
  const events = await rig.events();
  assert.deepEqual(events.map(({ key }) => key).sort(), [
    'events.plant.boot',
    'events.plant.connected',
    'events.plant.disconnected',
    'events.plant.will',
  ]);
  const boot = events.find(({ body }) => body.kind === 'boot')?.body;
  assert.deepEqual([boot?.site, boot?.device, boot?.data], ['plant', 'd1', { firmware: '1.2' }]);
  await until(async () => (await rig.envelopes()).length === 1, {
    ...DEADLINE,
    what: 'the will as a reading',
  });
  const [envelope] = await rig.envelopes();
  assert.deepEqual([envelope?.metric, envelope?.payload], ['online', 0]);
});

test('readings of critical metrics have class critical', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__FORWARD__CRITICAL_METRICS: 'smoke, gas' } });
  const client = await connect(t, rig, 'd1');
  await client.publish(`${TOPIC}/gas`, '1');
  await client.publish(`${TOPIC}/temperature`, '1');
  assert.deepEqual(
    (await rig.envelopes()).map((envelope) => envelope.class),
    ['critical', undefined],
  );
  assert.deepEqual(
    (await rig.records()).filter(({ kind }) => kind === 'reading').map(({ critical }) => critical),
    [true, false],
  );
});
