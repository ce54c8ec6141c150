import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd, type Scope, until } from '@weir/testkit';
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { ClassicLevel } from 'classic-level';
import type { ConnectOptions, RawClient } from '../testing/raw-client.ts';
import { openRig, type Rig } from '../testing/rig.ts';

const TOPIC = 'telemetry/v1/plant/d1';
const within = { deadlineMs: 20_000, everyMs: 2 };

async function connect(
  scope: Scope,
  rig: Rig,
  clientId: string,
  more: Partial<ConnectOptions> = {},
): Promise<RawClient> {
  const client = await rig.connect({ clientId, ...more });
  atEnd(scope, () => client.drop());
  assert.equal((await client.accepted()).returnCode, 0);
  return client;
}
const values = async (rig: Rig): Promise<unknown[]> => (await rig.envelopes()).map(({ payload }) => payload);
/** A QoS 2 publish as far as PUBREC. */
async function half(client: RawClient, messageId: number, payload: string, dup = false): Promise<void> {
  client.send({ cmd: 'publish', topic: TOPIC, payload, qos: 2, retain: false, dup, messageId });
  await client.next('pubrec');
}

async function storedKeys(rig: Rig, prefix: string): Promise<string[]> {
  const db = new ClassicLevel<string, Buffer>(join(rig.dir, 'sessions'), { valueEncoding: 'buffer' });
  const found = (await db.keys().all()).filter((key) => key.startsWith(prefix));
  await db.close();
  return found;
}

test('a stop sends the wills of those still connected, and leaves none for the next start', async (t) => {
  const rig = await openRig(t);
  for (const id of ['d1', 'd2', 'd3']) {
    await connect(t, rig, id, {
      clean: false,
      will: { topic: `telemetry/v1/plant/${id}/online`, payload: Buffer.from('0'), qos: 1 },
    });
  }
  await rig.stop();
  assert.equal(await rig.metric('weir_ledger_readings_total', { outcome: 'stored' }), 3);
  assert.deepEqual(await storedKeys(rig, 'will:'), []);
});

test('a will that a full spool does not take at the stop is kept for the next start', async (t) => {
  const rig = await openRig(t, {
    drains: false,
    env: { WEIR_EDGE__SPOOL__MAX_SIZE: '64KiB', WEIR_EDGE__SPOOL__SEGMENT_SIZE: '8KiB' },
  });
  await connect(t, rig, 'd2', {
    will: { topic: 'telemetry/v1/plant/d2/online', payload: Buffer.from('0'), qos: 1 },
  });
  const sender = await connect(t, rig, 'd1');
  for (let id = 1; id <= 1_000; id++) {
    sender.send({
      cmd: 'publish',
      topic: TOPIC,
      payload: '1',
      qos: 1,
      retain: false,
      dup: false,
      messageId: id,
    });
  }
  await until(() => rig.spool.state === 'blocked', { ...within, what: 'the spool is full' });
  await rig.stop();
  assert.deepEqual(await storedKeys(rig, 'will:'), ['will:d2']);
});

test('packet ids of a clean session are free in the kept session that takes its place', async (t) => {
  const rig = await openRig(t);
  const clean = await connect(t, rig, 'd1', { clean: true });
  await half(clean, 5, '1');
  const kept = await connect(t, rig, 'd1', { clean: false });
  await half(kept, 5, '2');
  assert.deepEqual(await values(rig), [1, 2]);
});

test('a packet id is free after PUBREL, also when the connection was lost in between', async (t) => {
  const rig = await openRig(t);
  const remove = AsyncLevelPersistence.prototype.incomingDelPacket;
  let removing = 0;
  t.mock.method(AsyncLevelPersistence.prototype, 'incomingDelPacket', async function (
    this: unknown,
    ...args
  ) {
    removing++;
    await delay(300);
    await remove.apply(this, args);
    removing--;
  } satisfies typeof remove);
  // between the login of the next connection and its place in the broker
  const store = AsyncLevelPersistence.prototype.putWill;
  t.mock.method(AsyncLevelPersistence.prototype, 'putWill', async function (this: unknown, ...args) {
    await until(() => removing === 0, { ...within, what: 'PUBREL is done' });
    await store.apply(this, args);
  } satisfies typeof store);
  const first = await connect(t, rig, 'd1', { clean: false });
  await half(first, 5, '1');
  first.send({ cmd: 'pubrel', messageId: 5 });
  await until(() => removing === 1, { ...within, what: 'PUBREL is being handled' });
  first.drop();
  await until(async () => (await rig.metric('weir_edge_connections')) === 0, {
    ...within,
    what: 'the connection is gone',
  });
  const second = await connect(t, rig, 'd1', {
    clean: false,
    will: { topic: TOPIC, payload: Buffer.from('0') },
  });
  second.send({ cmd: 'pubrel', messageId: 5 });
  await second.next('pubcomp');
  await half(second, 5, '2');
  assert.deepEqual(await values(rig), [1, 2]);
});

test('a PUBREL that could not be stored is not answered', async (t) => {
  const rig = await openRig(t);
  const first = await connect(t, rig, 'd1', { clean: false });
  await half(first, 5, '1');
  const broken = t.mock.method(AsyncLevelPersistence.prototype, 'incomingDelPacket', async () => {
    throw new Error('a write that fails');
  });
  first.send({ cmd: 'pubrel', messageId: 5 });
  await first.closed();
  assert.deepEqual(
    first.inbox.map(({ cmd }) => cmd),
    [],
  );
  broken.mock.restore();
  const second = await connect(t, rig, 'd1', { clean: false });
  second.send({ cmd: 'pubrel', messageId: 5 });
  await second.next('pubcomp');
  await half(second, 5, '2');
  assert.deepEqual(await values(rig), [1, 2]);
});

test('retained messages that cannot be read do not end the edge', async (t) => {
  const rig = await openRig(t);
  t.mock.method(AsyncLevelPersistence.prototype, 'createRetainedStreamCombi', () => {
    const stream = new Readable({ objectMode: true, read: () => {} });
    setImmediate(() => stream.destroy(new Error('a read that fails')));
    return stream;
  });
  const client = await connect(t, rig, 'd1');
  assert.deepEqual(await client.subscribe(['telemetry/#', 1]), [1]);
  await client.publish(TOPIC, '1', { qos: 2 });
  assert.deepEqual(await values(rig), [1]);
});

test('the bound of subscriptions holds within one SUBSCRIBE, and for what is stored', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__SUBSCRIPTIONS: '5' } });
  const filters = Array.from({ length: 20 }, (_, i) => [`cmd/v1/plant/d1/f${i}`, 1] as const);
  for (const clean of [true, false]) {
    const client = await connect(t, rig, 'd1', { clean });
    assert.deepEqual(await client.subscribe(...filters), [...Array(5).fill(1), ...Array(15).fill(128)]);
    await client.unsubscribe('cmd/v1/plant/d1/f0');
    assert.deepEqual(await client.subscribe(['cmd/v1/plant/d1/a', 1], ['cmd/v1/plant/d1/b', 1]), [1, 128]);
    await client.disconnect();
  }
  const again = await connect(t, rig, 'd1', { clean: false });
  assert.deepEqual(await again.subscribe(['cmd/v1/plant/d1/c', 1], ['cmd/v1/plant/d1/a', 1]), [128, 1]);
  await again.disconnect();
  await rig.stop();
  assert.equal((await storedKeys(rig, 'subscriptions:')).length, 5);
});
