import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fairBound, ThrottleController } from './index.ts';

const settings = { lagMs: 10_000, recoveryMs: 20_000 };
const demands = fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 20 });

test('the bound is fair: together within the total, never less than an even share, and not larger than needed', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), demands, (total, all) => {
      const bound = fairBound(total, all);
      const taken = all.reduce((sum, demand) => sum + Math.min(demand, bound), 0);
      const demand = all.reduce((sum, one) => sum + one, 0);
      const slack = 1e-6 * (1 + total);
      assert.ok(taken <= total + slack, `${taken} of ${total}`);
      assert.ok(bound >= total / all.length - slack);
      assert.ok(taken >= Math.min(total, demand) - slack, 'nothing is left over while somebody wants it');
    }),
    { numRuns: 300 },
  );
});

test('nobody is throttled while the lag is small, or not known', () => {
  const controller = new ThrottleController(settings);
  const input = { drainPerSecond: 1_000, demands: [5_000] };
  assert.equal(controller.next({ ...input, timeLagMs: 9_000 }).ratePerSecond, null);
  assert.equal(controller.next({ ...input, timeLagMs: null }).ratePerSecond, null);
  assert.notEqual(controller.next({ ...input, timeLagMs: 11_000 }).ratePerSecond, null);
  assert.equal(controller.next({ ...input, timeLagMs: null }).ratePerSecond, null, 'a blind monitor lets go');
});

test('a sink that stands still leaves a tenth of what it took before', () => {
  const controller = new ThrottleController(settings);
  controller.next({ timeLagMs: 0, drainPerSecond: 1_000, demands: [1_000] });
  let rate: number | null = null;
  for (let i = 0; i < 50; i++)
    rate = controller.next({ timeLagMs: 60_000, drainPerSecond: 0, demands: [1_000] }).ratePerSecond;
  assert.ok(rate !== null && Math.abs(rate - 100) < 1, String(rate));
});

/**
 * A log in front of windows that take `capacity` readings a second, behind edges with spools: what is demanded and not
 * sent waits there. Returns the time lag at each step of two seconds.
 */
function simulate(
  capacity: (s: number) => number,
  demand: (s: number) => number,
  seconds: number,
  edges: number,
) {
  const controller = new ThrottleController(settings);
  const lags: number[] = [];
  let inLog = 0;
  let inSpools = 0;
  let rate: number | null = null;
  let drained = 0;
  for (let s = 0; s < seconds; s++) {
    inSpools += demand(s);
    const sent = Math.min(inSpools, rate === null ? Number.POSITIVE_INFINITY : rate * edges);
    inSpools -= sent;
    inLog += sent;
    const done = Math.min(inLog, capacity(s));
    inLog -= done;
    drained += done;
    if (s % 2 === 1) {
      const timeLagMs = (inLog / Math.max(1, capacity(s))) * 1_000;
      lags.push(timeLagMs);
      // what waits in a spool is demand that is seen
      const seen = Array.from({ length: edges }, () => demand(s) / edges + inSpools / 10);
      rate = controller.next({ timeLagMs, drainPerSecond: drained / 2, demands: seen }).ratePerSecond;
      drained = 0;
    }
  }
  return { lags, inSpools, inLog, rate };
}

test('at any overload the lag stays near its target, the sink stays busy, and the end lets go', () => {
  const whole = (min: number, max: number) => fc.integer({ min, max });
  fc.assert(
    fc.property(whole(200, 50_000), whole(11, 50), whole(1, 8), (capacity, tenths, edges) => {
      const demand = (s: number) => (s < 300 ? (capacity * tenths) / 10 : 0);
      const { lags, inSpools, inLog, rate } = simulate(() => capacity, demand, 300, edges);
      const settled = lags.slice(60);
      const least = Math.min(...settled);
      const most = Math.max(...settled);
      assert.ok(least > 2_000 && most < 20_000, `${least} to ${most} ms`);
      const taken = 300 * demand(0) - inSpools - inLog;
      assert.ok(taken >= 0.97 * capacity * 300, `the sink took ${taken} of ${capacity * 300}`);
      assert.notEqual(rate, null);
    }),
    { numRuns: 100 },
  );
  const { rate, inSpools, lags } = simulate(
    () => 1_000,
    (s) => (s < 60 ? 2_000 : 200),
    300,
    2,
  );
  assert.equal(rate, null);
  assert.ok(inSpools < 1_000 && (lags.at(-1) ?? 0) < 1_000);
});
