import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpoolRecord } from '../spool/index.ts';
import { Throttle } from './throttle.ts';

const record = (more: Partial<SpoolRecord> = {}): SpoolRecord => ({
  kind: 'reading',
  critical: false,
  partition: 0,
  count: 1,
  body: Buffer.alloc(0),
  n: 1,
  at: 0,
  ...more,
});
const running = new AbortController().signal;
const asked = (ratePerSecond: number | null, forMs = 10_000) =>
  ({ class: 'normal', ratePerSecond, forMs }) as const;
const took = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};

test('nothing waits while nobody asks', async () => {
  const throttle = new Throttle();
  assert.equal(throttle.rate, null);
  const ms = await took(async () => {
    for (let i = 0; i < 100; i++)
      assert.equal(await throttle.admit([record({ count: 10_000 })], running), true);
  });
  assert.ok(ms < 5_000, `${ms} ms`);
});

test('normal readings are held to the rate, also when one round is many of them', async () => {
  const throttle = new Throttle();
  throttle.hear(asked(1_000));
  const ms = await took(async () => {
    for (const count of [300, 100, 50, 1]) await throttle.admit([record({ count })], running);
  });
  assert.ok(ms >= 440, `450 readings at 1,000 a second took ${ms} ms`);
});

test('critical readings, events and dead letters cost nothing', async () => {
  const throttle = new Throttle();
  throttle.hear(asked(1));
  const free = [
    record({ critical: true, count: 50 }),
    record({ kind: 'event' }),
    record({ kind: 'dead-letter' }),
  ];
  const ms = await took(async () => {
    for (let i = 0; i < 50; i++) await throttle.admit(free, running);
  });
  assert.ok(ms < 5_000, `${ms} ms`);
});

test('a throttle is forgotten when its time is over, whatever was asked for', async () => {
  let now = 0;
  const throttle = new Throttle(() => now);
  throttle.hear(asked(0, 3_600_000));
  now = 9_999;
  assert.equal(throttle.rate, 0);
  now = 10_000;
  assert.equal(throttle.rate, null);

  const real = new Throttle();
  real.hear(asked(0, 1_500));
  await real.admit([record()], running);
  const ms = await took(() => real.admit([record()], running));
  assert.ok(ms > 200 && ms < 5_000, `${ms} ms`);
});

test('who waits hears of a release and of the stop at once', async () => {
  const throttle = new Throttle();
  throttle.hear(asked(0));
  await throttle.admit([record()], running);
  const waiting = throttle.admit([record()], running);
  throttle.hear(asked(null));
  assert.equal(await waiting, true);

  const stop = new AbortController();
  throttle.hear(asked(0));
  await throttle.admit([record()], stop.signal);
  const stopped = throttle.admit([record()], stop.signal);
  stop.abort();
  assert.equal(await stopped, false);
});

test('what is not understood changes nothing', () => {
  const throttle = new Throttle();
  throttle.hear({ ...asked(5), class: 'critical' });
  throttle.hear(asked(Number.NaN));
  throttle.hear(asked(-1));
  throttle.hear(asked('many' as unknown as number));
  throttle.hear(asked(5, Number.NaN));
  assert.equal(throttle.rate, null);
});
