import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { atEnd, until } from '@weir/testkit';
import { openRig } from '../testing/rig.ts';
import { Porch } from './porch.ts';

const soon = (what: string) => ({ deadlineMs: 30_000, everyMs: 5, what });

test('who came first is let in first; who went away costs no turn; the rest ends with the door', async () => {
  const porch = new Porch(50);
  const entered: number[] = [];
  const transports = Array.from({ length: 120 }, (_, i) => {
    const transport = new PassThrough();
    porch.arrive(transport, () => entered.push(i));
    return transport;
  });
  assert.deepEqual([entered.length, porch.waiting], [50, 70], 'a burst of one second, then turns');
  for (const transport of transports.slice(50, 100)) transport.destroy();
  await until(() => entered.length >= 60, soon('ten more'));
  assert.deepEqual(entered.slice(50, 60), [100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
  porch.close();
  const all = entered.length;
  assert.equal(porch.waiting, 0);
  assert.deepEqual(
    transports.map(({ destroyed }) => destroyed),
    transports.map((_, i) => (i >= 50 && i < 100) || i >= all + 50),
  );
});

test('600 devices that dial at once are let in in turns, and who is inside is answered meanwhile', async (t) => {
  const rig = await openRig(t, {
    env: { WEIR_EDGE__LIMITS__CONNECT_RATE: '200', WEIR_EDGE__LIMITS__CONNECT_TIME: '1s' },
  });
  const inside = await rig.connect({ clientId: 'inside' });
  await inside.accepted();
  let answered = 0;
  let storming = true;
  const publishing = (async () => {
    for (; storming; answered++) await inside.publish(`telemetry/v1/hall/inside/n`, `{"value":${answered}}`);
  })();
  const storm = await Promise.all(
    Array.from({ length: 600 }, (_, i) => rig.connect({ clientId: `device-${i}` })),
  );
  atEnd(t, () => {
    for (const client of [...storm, inside]) client.drop();
  });
  await until(() => storm.every(({ inbox }) => inbox[0]?.cmd === 'connack'), soon('all to be let in'));
  storming = false;
  await publishing;
  assert.ok(answered > 20, `${answered} answers during the storm`);
  assert.equal(await rig.metric('weir_edge_connections'), 601);
  assert.equal(await rig.metric('weir_edge_connections_arriving'), 0);
  assert.equal(await rig.metric('weir_edge_refusals_total', { reason: 'connect-timeout' }), 0);
});
