import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HopTime, Metrics, observeCall, observeHop, Waiting } from './index.ts';

test('the time of a hop is split without rest, and waiting at the far side goes before working', async () => {
  const step = fc.record({ doing: fc.constantFrom('sink', 'work'), ms: fc.nat(1_000), begin: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      let now = 0;
      const time = new HopTime(() => now);
      const open: { doing: string; end: () => void; over: Promise<void> }[] = [];
      const expected = { sink: 0, work: 0, idle: 0 };
      for (const { doing, ms, begin } of steps) {
        if (begin) {
          const { promise, resolve } = Promise.withResolvers<void>();
          open.push({ doing, end: resolve, over: time.during(doing as 'sink' | 'work', () => promise) });
        } else {
          const last = open.pop();
          last?.end();
          await last?.over;
        }
        const what =
          (['sink', 'work'] as const).find((one) => open.some(({ doing }) => doing === one)) ?? 'idle';
        expected[what] += ms / 1_000;
        now += ms;
      }
      time.settle();
      for (const what of ['sink', 'work', 'idle'] as const)
        assert.ok(Math.abs(time.seconds[what] - expected[what]) < 1e-6, what);
      for (const { end } of open) end();
    }),
    { numRuns: 50 },
  );
});

test('what fails ends its time as well', async () => {
  let now = 0;
  const time = new HopTime(() => now);
  await assert.rejects(
    time.during('sink', async () => {
      now = 2_000;
      throw new Error('away');
    }),
  );
  now = 5_000;
  time.settle();
  assert.deepEqual(time.seconds, { sink: 2, work: 0, idle: 3 });
  assert.equal(time.sinkSeconds, 2, 'the last wait, while it is recent');
  now = 8_000;
  assert.equal(time.sinkSeconds, 0);
});

test('the oldest that waits is told, in any order of ends', () => {
  let now = 0;
  const waiting = new Waiting(() => now);
  const first = waiting.begin();
  now = 1_000;
  const second = waiting.begin();
  now = 3_000;
  assert.equal(waiting.seconds, 3);
  first();
  assert.equal(waiting.seconds, 2);
  second();
  assert.equal(waiting.seconds, 0);
  assert.equal(waiting.count, 0);
});

test('hops and calls of one app share their metrics', async () => {
  const metrics = new Metrics('test');
  let now = 0;
  const time = new HopTime(() => now);
  const state = () => 1 as const;
  observeHop(
    metrics,
    { hop: 'a', policy: 'block', items: { used: () => 3, limit: 9 }, state, delay: () => 0.5 },
    time,
  );
  observeHop(metrics, {
    hop: 'b',
    policy: 'drop-oldest',
    bytes: { used: () => 7, limit: 8 },
    state,
    delay: () => 0,
  });
  observeCall(metrics, { to: 'timescale', deadlineMs: 1_500, parallel: 4, state: () => 'open' });
  now = 4_000;
  const page = await metrics.registry.metrics();
  for (const line of [
    'weir_buffer_used_items{hop="a",app="test"} 3',
    'weir_buffer_limit_bytes{hop="b",app="test"} 8',
    'weir_backpressure_state{hop="a",app="test"} 1',
    'weir_hop_delay_seconds{hop="a",app="test"} 0.5',
    'weir_hop_policy{hop="b",policy="drop-oldest",app="test"} 1',
    'weir_hop_busy_seconds_total{hop="a",what="idle",app="test"} 4',
    'weir_call_deadline_seconds{to="timescale",app="test"} 1.5',
    'weir_call_state{to="timescale",app="test"} 2',
  ])
    assert.ok(page.includes(`${line}\n`), `${line} in\n${page}`);
  assert.match(page, /weir_loop_busy_seconds_total\{app="test"\} \d/);
});
