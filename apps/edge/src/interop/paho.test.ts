/**
 * The cases of the Eclipse Paho MQTT 3.1.1 interoperability suite (client_test.py), written from the standard, on our
 * own edge. Devices may subscribe only to their own commands, so the two clients here have wider rights.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { atEnd, type Scope, until } from '@weir/testkit';
import type { RawClient } from '../testing/raw-client.ts';
import { openRig, type Rig, SECRET } from '../testing/rig.ts';

const TOPICS = ['TopicA', 'TopicA/B', 'Topic/C', 'TopicA/C', '/TopicA'] as const;
const WILD = ['TopicA/+', '+/C', '#', '/#', '/+', '+/+', 'TopicA/#'] as const;
const wide = { publish: ['#', '$TopicA/#'], subscribe: ['#', '/#', '$TopicA/#'] };

let rig: Rig;
const text = (packets: readonly { topic: string; payload: Buffer | string }[]): string[] =>
  packets.map(({ topic, payload }) => `${topic} ${payload.toString()}`);

async function connected(
  scope: Scope,
  clientId: string,
  options: { clean?: boolean; keepalive?: number; will?: object } = {},
): Promise<RawClient> {
  const client = await rig.connect({
    clientId,
    username: clientId,
    password: SECRET,
    ...(options as object),
  });
  atEnd(scope, () => client.drop());
  assert.equal((await client.accepted()).returnCode, 0);
  return client;
}
const arrived = (client: RawClient, n: number): Promise<unknown> =>
  until(() => client.inbox.filter(({ cmd }) => cmd === 'publish').length >= n, {
    deadlineMs: 20_000,
    what: `${n} publishes`,
    everyMs: 1,
  });

describe('Paho 3.1.1 interoperability', () => {
  // node:test runs an `after` that is registered inside a hook when that hook ends
  let tidy = async (): Promise<void> => {};
  after(() => tidy());
  before(async () => {
    const scope: Scope = {
      after: (each) => {
        tidy = each;
      },
    };
    rig = await openRig(scope, {
      devices: ['a', 'b', 'c'].flatMap((letter) =>
        Array.from({ length: 20 }, (_, i) => ({ device: `client-${letter}${i}`, ...wide })),
      ),
      env: { WEIR_EDGE__LIMITS__CONNECT_TIME: '2s' },
    });
  });

  test('basic: publish at QoS 0, 1 and 2 to a subscription of QoS 2; a second CONNECT ends the connection', async (t) => {
    const a = await connected(t, 'client-a0');
    assert.deepEqual(await a.subscribe([TOPICS[0], 2]), [2]);
    await a.publish(TOPICS[0], 'qos 0', { qos: 0 });
    await a.publish(TOPICS[0], 'qos 1', { qos: 1 });
    await a.publish(TOPICS[0], 'qos 2', { qos: 2 });
    await arrived(a, 3);
    const got = await a.received();
    assert.deepEqual(text(got).sort(), ['TopicA qos 0', 'TopicA qos 1', 'TopicA qos 2']);
    assert.deepEqual(got.map(({ qos }) => qos).sort(), [0, 1, 2]);
    a.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: 'client-a0',
      keepalive: 0,
    });
    await a.closed(); // [MQTT-3.1.0-2]
  });

  test('retained messages: one for each topic at its QoS; an empty payload removes it', async (t) => {
    const a = await connected(t, 'client-a1');
    for (const [qos, topic] of [TOPICS[1], TOPICS[2], TOPICS[3]].entries()) {
      await a.publish(topic, `qos ${qos}`, { qos: qos as 0 | 1 | 2, retain: true });
    }
    await a.disconnect();
    const b = await connected(t, 'client-b1');
    await b.subscribe([WILD[5], 2]);
    await arrived(b, 3);
    const got = await b.received();
    assert.deepEqual(text(got).sort(), ['Topic/C qos 1', 'TopicA/B qos 0', 'TopicA/C qos 2']);
    assert.ok(got.every(({ retain }) => retain)); // [MQTT-3.3.1-8]
    for (const topic of [TOPICS[1], TOPICS[2], TOPICS[3]])
      await b.publish(topic, '', { qos: 1, retain: true });
    await b.disconnect();
    const c = await connected(t, 'client-c1');
    await c.subscribe([WILD[5], 2]);
    assert.deepEqual(await c.received(), []); // [MQTT-3.3.1-10]
  });

  test('retain flag is clear for a subscription that was there before', async (t) => {
    const a = await connected(t, 'client-a2');
    await a.subscribe(['retain/flag', 1]);
    await a.publish('retain/flag', 'now', { retain: true });
    await arrived(a, 1);
    assert.deepEqual(
      (await a.received()).map(({ retain }) => retain),
      [false],
    ); // [MQTT-3.3.1-9]
    await a.publish('retain/flag', '', { retain: true });
  });

  test('offline message queueing: QoS 1 and 2 wait for a session that is kept', async (t) => {
    const b = await connected(t, 'client-b3', { clean: false });
    await b.subscribe(['queue/+', 2]);
    await b.disconnect();
    const a = await connected(t, 'client-a3');
    for (const qos of [0, 1, 2] as const) await a.publish(`queue/${qos}`, `qos ${qos}`, { qos });
    await a.disconnect();
    const back = await rig.connect({
      clientId: 'client-b3',
      username: 'client-b3',
      password: SECRET,
      clean: false,
    });
    atEnd(t, () => back.drop());
    assert.deepEqual(await back.accepted(), { returnCode: 0, sessionPresent: true });
    await arrived(back, 2);
    // [MQTT-3.1.2.4] QoS 0 may be kept or not; ours is not
    assert.deepEqual(text(await back.received()), ['queue/1 qos 1', 'queue/2 qos 2']);
    await back.disconnect();
    const clean = await connected(t, 'client-b3', { clean: true });
    assert.deepEqual(await clean.received(), []); // [MQTT-3.1.2-6]
  });

  test('will message: sent when the connection is lost, not after DISCONNECT', async (t) => {
    const b = await connected(t, 'client-b4');
    await b.subscribe(['TopicA/C', 2]);
    const will = {
      topic: 'TopicA/C',
      payload: Buffer.from('client not disconnected'),
      qos: 1 as const,
      retain: false,
    };
    const a = await connected(t, 'client-a4', { will });
    await a.disconnect();
    assert.deepEqual(await b.received(), []); // [MQTT-3.14.4-3]
    (await connected(t, 'client-a4', { will })).drop();
    await arrived(b, 1);
    assert.deepEqual(text(await b.received()), ['TopicA/C client not disconnected']); // [MQTT-3.1.2-8]
  });

  test('overlapping subscriptions: one message, or one for each, at the right QoS', async (t) => {
    const a = await connected(t, 'client-a5');
    await a.subscribe([WILD[6], 2], [WILD[0], 1]);
    await a.publish(TOPICS[3], 'overlapping', { qos: 2 });
    await arrived(a, 1);
    const got = await a.received();
    // [MQTT-3.3.5-1]: at the maximum of the matching QoS, with an extra copy for each other subscription allowed
    assert.ok(got.length === 1 || got.length === 2);
    if (got.length === 1) assert.equal(got[0]?.qos, 2);
    else assert.deepEqual(got.map(({ qos }) => qos).sort(), [1, 2]);
  });

  test('keepalive: silence of 1.5 times the keepalive ends the connection and sends the will', async (t) => {
    const b = await connected(t, 'client-b6');
    await b.subscribe(['keepalive/lost', 1]);
    const will = { topic: 'keepalive/lost', payload: Buffer.from('silent'), qos: 1 as const };
    const started = performance.now();
    const a = await connected(t, 'client-a6', { keepalive: 1, will });
    await a.closed();
    const seconds = (performance.now() - started) / 1_000;
    assert.ok(seconds >= 1.5 && seconds < 4, `closed after ${seconds} s`); // [MQTT-3.1.2-24]
    await arrived(b, 1);
    assert.deepEqual(text(await b.received()), ['keepalive/lost silent']);
  });

  test('redelivery on reconnect: what was not acknowledged comes again, with DUP', async (t) => {
    const b = await connected(t, 'client-b7', { clean: false });
    b.answers = false;
    await b.subscribe(['redeliver/#', 2]);
    const a = await connected(t, 'client-a7');
    await a.publish('redeliver/1', 'one', { qos: 1 });
    await a.publish('redeliver/2', 'two', { qos: 2 });
    await arrived(b, 2);
    const first = await b.received();
    assert.deepEqual(
      first.map(({ dup }) => dup),
      [false, false],
    ); // [MQTT-3.3.1-3]
    b.drop();
    const back = await connected(t, 'client-b7', { clean: false });
    await arrived(back, 2);
    const again = await back.received();
    assert.deepEqual(text(again), ['redeliver/1 one', 'redeliver/2 two']); // [MQTT-4.4.0-1]
    assert.deepEqual(
      again.map(({ dup }) => dup),
      [true, true],
    ); // [MQTT-3.3.1-1]
    assert.deepEqual(
      again.map(({ messageId }) => messageId),
      first.map(({ messageId }) => messageId),
    );
    await back.disconnect();
  });

  test('zero-length client id: refused with return code 2 when the session is to be kept', async (t) => {
    const kept = await rig.connect({ clientId: '', clean: false, username: 'client-a8', password: SECRET });
    atEnd(t, () => kept.drop());
    assert.equal((await kept.accepted()).returnCode, 2); // [MQTT-3.1.3-8]
    await kept.closed();
    const open = await openRig(t);
    const clean = await open.connect({ clientId: '', clean: true });
    atEnd(t, () => clean.drop());
    assert.equal((await clean.accepted()).returnCode, 0); // [MQTT-3.1.3-6]
  });

  test('subscribe failure: 0x80 for a filter that is not allowed, the others are granted', async (t) => {
    const strict = await openRig(t, { devices: [{ device: 'd1' }] });
    const d1 = await strict.connect({ clientId: 'd1', username: 'd1', password: SECRET, clean: false });
    atEnd(t, () => d1.drop());
    await d1.accepted();
    const granted = await d1.subscribe(
      ['test/nosubscribe', 2],
      ['cmd/v1/plant/d1/+', 1],
      ['cmd/v1/plant/d2/+', 1],
    );
    assert.deepEqual(granted, [128, 1, 128]); // [MQTT-3.9.3-1]
  });

  test('dollar topics: a wildcard at the start matches none of them', async (t) => {
    const a = await connected(t, 'client-a10');
    await a.subscribe(['+/C', 2], ['#', 2]);
    await a.publish('$TopicA/C', 'dollar', { qos: 1 });
    assert.deepEqual(await a.received(), []); // [MQTT-4.7.2-1]
  });

  test('unsubscribe: nothing more of that topic, everything of the others', async (t) => {
    const a = await connected(t, 'client-a11');
    await a.subscribe(['un/a', 2], ['un/b', 2], ['un/c', 2]);
    await a.unsubscribe('un/a');
    for (const topic of ['un/a', 'un/b', 'un/c']) await a.publish(topic, topic, { qos: 1 });
    await arrived(a, 2);
    assert.deepEqual(text(await a.received()).sort(), ['un/b un/b', 'un/c un/c']); // [MQTT-3.10.4-2]
  });

  test('QoS 2: a publish sent again before PUBREL is answered and delivered once', async (t) => {
    const b = await connected(t, 'client-b12');
    await b.subscribe(['twice', 2]);
    const a = await connected(t, 'client-a12');
    const packet = {
      cmd: 'publish',
      topic: 'twice',
      payload: 'x',
      qos: 2,
      retain: false,
      messageId: 9,
    } as const;
    a.send({ ...packet, dup: false });
    await a.next('pubrec');
    a.send({ ...packet, dup: true });
    await a.next('pubrec'); // [MQTT-4.3.3-2]
    a.send({ cmd: 'pubrel', messageId: 9 });
    await a.next('pubcomp');
    await arrived(b, 1);
    assert.equal((await b.received()).length, 1);
    // the packet id is free again
    await a.publish('twice', 'y', { qos: 2, messageId: 9 });
    await arrived(b, 1);
    assert.deepEqual(text(await b.received()), ['twice y']);
  });

  test('QoS 2: PUBREL for an unknown packet id is answered', async (t) => {
    const a = await connected(t, 'client-a13');
    a.send({ cmd: 'pubrel', messageId: 77 });
    assert.equal((await a.next('pubcomp')).messageId, 77);
  });

  test('acknowledgements come in the order of the publishes', async (t) => {
    const a = await connected(t, 'client-a14');
    for (let id = 1; id <= 60; id++) {
      a.send({
        cmd: 'publish',
        topic: 'order',
        payload: String(id),
        qos: 1,
        retain: false,
        dup: false,
        messageId: id,
      });
    }
    const ids: number[] = [];
    for (let i = 0; i < 60; i++) ids.push((await a.next('puback')).messageId ?? 0);
    assert.deepEqual(
      ids,
      Array.from({ length: 60 }, (_, i) => i + 1),
    ); // [MQTT-4.6.0-2]
  });

  test('taking over: a second connection of a client id ends the first', async (t) => {
    const first = await connected(t, 'client-a15');
    const second = await connected(t, 'client-a15');
    await first.closed(); // [MQTT-3.1.4-2]
    assert.deepEqual(await second.received(), []);
  });

  test('publishes sent right behind CONNECT are handled, in order', async (t) => {
    const b = await connected(t, 'client-b16');
    await b.subscribe(['early', 1]);
    const a = await rig.connect({ clientId: 'client-a16', username: 'client-a16', password: SECRET });
    atEnd(t, () => a.drop());
    for (let id = 1; id <= 50; id++) {
      a.send({
        cmd: 'publish',
        topic: 'early',
        payload: String(id),
        qos: 1,
        retain: false,
        dup: false,
        messageId: id,
      });
    }
    assert.equal((await a.accepted()).returnCode, 0);
    await arrived(b, 50);
    const payloads = (await b.received()).map(({ payload }) => Number(payload.toString()));
    assert.deepEqual(
      payloads,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });
});
