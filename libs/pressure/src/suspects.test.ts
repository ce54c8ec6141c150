import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HopName } from '@weir/api';
import fc from 'fast-check';
import {
  type AppKind,
  DRAINS,
  type DrainSample,
  type Process,
  type Sample,
  sharesOf,
  suspectsOf,
} from './index.ts';

interface Pace {
  /** Share of its event loop. */
  readonly busy?: number;
  /** Share that each hop waits. */
  readonly waiting?: Partial<Record<HopName, number>>;
  readonly delays?: Partial<Record<HopName, number>>;
}

/** A process that goes on in one way, asked every two seconds. */
function process(app: AppKind, { busy = 0.1, waiting = {}, delays = {} }: Pace, seconds = 8): Process {
  const samples: Sample[] = [];
  for (let at = 0; at <= seconds; at += 2) {
    const drains = new Map<HopName, DrainSample>();
    for (const drain of DRAINS.filter((one) => one.app === app))
      drains.set(drain.hop, {
        sinkSeconds: 100 + at * (waiting[drain.hop] ?? 0),
        delaySeconds: delays[drain.hop] ?? 0,
        state: 0,
      });
    samples.push({ at: at * 1_000, answer: { busySeconds: 50 + at * busy, drains } });
  }
  return { app, instance: 'http://one', samples };
}
const named = (one: Process, now = 8_000): HopName[] => suspectsOf(one, now).map(({ hop }) => hop);

test('a hop that is late and waits is held back by what comes behind it', () => {
  const cases: [AppKind, HopName, HopName, number][] = [
    ['edge', 'spool', 'spool', 1],
    ['edge', 'forward-kafka', 'kafka', 5],
    ['edge', 'forward-rabbitmq', 'rabbitmq', 5],
    ['aggregator', 'aggregator', 'timescale', 5],
    ['archiver', 'archiver', 'minio', 5],
    ['alerter', 'alerter', 'timescale', 5],
  ];
  for (const [app, hop, sink, delay] of cases) {
    const pace = { waiting: { [hop]: 0.9 }, delays: { [hop]: delay } };
    assert.deepEqual(named(process(app, pace)), [sink], hop);
    assert.deepEqual(named(process(app, { waiting: { [hop]: 0.9 } })), [], `${hop}, on time`);
    assert.deepEqual(named(process(app, { delays: { [hop]: delay } })), [], `${hop}, not waiting`);
  }
});

test('a process that is busy is the limit itself, whatever its hops wait for', () => {
  const late = { waiting: { aggregator: 1 }, delays: { aggregator: 20 } };
  assert.deepEqual(named(process('aggregator', { ...late, busy: 0.97 })), ['aggregator']);
  assert.deepEqual(named(process('aggregator', { busy: 0.97 })), [], 'at its limit, and nothing is late');
  assert.deepEqual(
    named(process('edge', { busy: 0.97 })),
    ['device-gate'],
    'what is late waits in the sockets',
  );
});

test('who answered and is silent is suspected, and forgotten when it was taken away', () => {
  const one = process('aggregator', {});
  assert.deepEqual(named(one, 13_999), []);
  assert.deepEqual(named(one, 14_000), ['aggregator']);
  assert.deepEqual(named(one, 8_000 + 600_001), []);
  const never: Process = { ...one, samples: one.samples.map(({ at }) => ({ at, answer: null })) };
  assert.deepEqual(named(never, 20_000), []);
});

test('counters that begin anew say nothing', () => {
  const before = process('aggregator', { waiting: { aggregator: 1 }, delays: { aggregator: 9 } });
  const [first] = process('aggregator', {}).samples;
  const samples = [
    ...before.samples,
    { at: 10_000, answer: { busySeconds: 0.1, drains: first?.answer?.drains ?? new Map() } },
  ];
  assert.deepEqual(named({ ...before, samples }, 10_000), []);
});

test('shares are shares, whatever the samples', () => {
  const sample = fc.record({
    step: fc.integer({ min: 1, max: 10_000 }),
    busy: fc.double({ min: 0, max: 1e6, noNaN: true }),
    sink: fc.double({ min: 0, max: 1e6, noNaN: true }),
    silent: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 12 }), (all) => {
      let at = 0;
      const samples: Sample[] = all.map(({ step, busy, sink, silent }) => {
        at += step;
        const drain = { sinkSeconds: sink, delaySeconds: 10, state: 2 };
        return {
          at,
          answer: silent ? null : { busySeconds: busy, drains: new Map([['aggregator', drain]]) },
        };
      });
      const { busy, waiting } = sharesOf(samples);
      for (const share of [busy, ...waiting.values()])
        assert.ok(share === null || (share >= 0 && share <= 1), String(share));
      for (const { severity, why } of suspectsOf({ app: 'aggregator', instance: 'x', samples }, at + 1)) {
        assert.ok(severity >= 1);
        assert.match(why, /^rule [123]: .*aggregator/);
      }
    }),
    { numRuns: 200 },
  );
});
