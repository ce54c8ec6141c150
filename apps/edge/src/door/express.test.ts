import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atEnd, type Scope, until } from '@weir/testkit';
import fc from 'fast-check';
import mqtt, { type Packet } from 'mqtt-packet';
import type { RawClient } from '../testing/raw-client.ts';
import { openRig, type Rig } from '../testing/rig.ts';

interface Sent {
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  readonly retain: boolean;
}

const usual = fc.constantFrom(
  '{"ts":1763700000000,"seq":1,"value":1}',
  '{"value":1,"unit":"C","more":[1,{"a":null}]}',
  '21.5',
  '[{"value":1},{"value":95}]',
);
const unusual = fc.constantFrom(
  '{"value":1,"unit":"°C"}',
  '{\n"value":1}',
  '{"ts":"2025-11-21T05:00:00Z","value":1}',
  '{"ts":4000000000000,"value":1}',
  '[{"value":1},{"value":"x"}]',
  '[1,2,3,4,5,6,7,8,9]',
  '{"value":',
  '"text"',
  '',
);
const topics = fc.constantFrom(
  'telemetry/v1/plant/d1',
  'telemetry/v1/plant/d1/heat',
  'telemetry/v1/plant/d2',
  'telemetry/v1/wörk/d1',
  'telemetry/v1/plant/d1/he.at',
  'events/v1/plant/d1/opened',
  'chat/d1',
);
const publish = fc.record({
  topic: fc.oneof(topics, fc.constant('telemetry/v1/plant/d1')),
  payload: fc.oneof(usual, usual, unusual),
  qos: fc.constantFrom(0 as const, 1 as const, 1 as const, 1 as const, 2 as const),
  dup: fc.boolean(),
  retain: fc.constantFrom(false, false, false, true),
});
const settings = {
  WEIR_EDGE__MAX_READINGS_PER_MESSAGE: '8',
  WEIR_EDGE__FORWARD__CRITICAL_METRICS: 'heat',
};

async function connect(scope: Scope, rig: Rig, clientId: string): Promise<RawClient> {
  const client = await rig.connect({ clientId });
  atEnd(scope, () => client.drop());
  assert.equal((await client.accepted()).returnCode, 0);
  return client;
}

/** Sends all of it in pieces; returns the packet ids of the answers. */
async function send(
  client: RawClient,
  packets: readonly Sent[],
  cuts: readonly number[],
): Promise<{ pubacks: number[]; pubrecs: number[] }> {
  const bytes = Buffer.concat(
    packets.map(({ qos, dup, ...rest }, i) =>
      mqtt.generate({ cmd: 'publish', ...rest, qos, dup: qos > 0 && dup, messageId: i + 1 } as Packet),
    ),
  );
  let from = 0;
  for (const cut of [...cuts.map((part) => Math.floor((part / 100) * bytes.length)).sort((a, b) => a - b)]) {
    client.write(bytes.subarray(from, cut));
    from = Math.max(from, cut);
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.write(bytes.subarray(from));
  const wanted = packets.filter(({ qos }) => qos > 0).length;
  const answers = () => client.inbox.filter(({ cmd }) => cmd === 'puback' || cmd === 'pubrec');
  await until(() => answers().length >= wanted, { deadlineMs: 10_000, what: 'answers', everyMs: 2 });
  const ids = (of: string) =>
    answers().flatMap(({ cmd, messageId }) => (cmd === of ? [messageId as number] : []));
  const found = { pubacks: ids('puback'), pubrecs: ids('pubrec') };
  for (const [i, { qos }] of packets.entries())
    if (qos === 2) client.send({ cmd: 'pubrel', messageId: i + 1 });
  const released = () => client.inbox.filter(({ cmd }) => cmd === 'pubcomp').length;
  await until(() => released() === found.pubrecs.length, {
    deadlineMs: 10_000,
    what: 'PUBCOMPs',
    everyMs: 2,
  });
  await client.received();
  client.inbox.length = 0;
  return found;
}

/** What came of it, without the times. */
async function outcome(rig: Rig): Promise<object> {
  const envelopes = (await rig.envelopes()).map((line) => ({ ...line, at: 0, hlc: '', edge: '' }));
  const letters = (await rig.deadLetters()).map(({ key, headers, raw }) => ({
    key,
    reason: headers['weir-reason'],
    raw: raw.toString(),
  }));
  const criticals = (await rig.records()).map(({ n, kind, critical, count, partition }) => ({
    n,
    kind,
    critical,
    count,
    partition,
  }));
  const metrics = await Promise.all([
    rig.metric('weir_ledger_readings_total', { hop: 'edge' }),
    rig.metric('weir_edge_publishes_total', { qos: '0' }),
    rig.metric('weir_edge_publishes_total', { qos: '1' }),
    rig.metric('weir_edge_publishes_total', { qos: '2' }),
  ]);
  return { envelopes, letters, criticals, metrics };
}

test('property: what goes past aedes comes to what aedes would have made of it, in the same order', async (t) => {
  const express = await openRig(t, { env: settings });
  const plain = await openRig(t, { env: settings });
  // who subscribes to everything sends every publish to aedes
  const listener = await connect(t, plain, 'listener');
  assert.deepEqual(await listener.subscribe(['#', 0]), [0]);
  await connect(t, express, 'listener');
  const clients = [await connect(t, express, 'd1'), await connect(t, plain, 'd1')] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.array(publish, { minLength: 1, maxLength: 60 }),
      fc.array(fc.nat(99), { maxLength: 3 }),
      async (packets, cuts) => {
        const [ours] = await Promise.all(clients.map((client) => send(client, packets, cuts)));
        const wanted = (qos: number, of = (_: Sent) => true) =>
          packets.flatMap((sent, i) => (sent.qos === qos && of(sent) ? [i + 1] : []));
        assert.deepEqual(new Set(ours?.pubacks), new Set(wanted(1)));
        assert.deepEqual(new Set(ours?.pubrecs), new Set(wanted(2)));
        // [MQTT-4.6.0-2]; what subscribers are to get is answered when they have it
        const readings = wanted(1, ({ topic, retain }) => topic.startsWith('telemetry/') && !retain);
        assert.deepEqual(
          ours?.pubacks.filter((id) => readings.includes(id)),
          readings,
        );
      },
    ),
    { numRuns: 60 },
  );
  assert.deepEqual(await outcome(express), await outcome(plain));
});
