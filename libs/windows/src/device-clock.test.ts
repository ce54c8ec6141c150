import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DeviceClocks } from './device-clock.ts';

const T0 = 1_700_000_000_000;
const HOUR = 3_600_000;

/** A seeded source of numbers in [0, 1) (mulberry32, public domain). */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
type Random = () => number;
/** Delays of 0 to 2 s, all with their weight on one side. */
const DELAYS: Readonly<Record<string, (r: Random) => number>> = {
  none: () => 0,
  uniform: (r) => r() * 2_000,
  'mostly fast': (r) => Math.min(2_000, -Math.log(1 - r()) * 300),
  'long tail': (r) =>
    Math.min(2_000, 5 + Math.exp(4 + 1.5 * Math.sqrt(-2 * Math.log(1 - r())) * Math.cos(6.28 * r()))),
  'mostly slow': (r) => (r() < 0.1 ? r() * 50 : 1_500 + r() * 500),
  'two paths': (r) => (r() < 0.5 ? 10 + r() * 30 : 800 + r() * 400),
};

class Device {
  readonly clocks = new DeviceClocks();
  offsetMs: number;
  driftPpm: number;
  private readonly epoch = T0;
  constructor(offsetMs: number, driftPpm: number) {
    this.clocks.grow(3);
    this.offsetMs = offsetMs;
    this.driftPpm = driftPpm;
  }
  /** What its clock is ahead at true time `t`. */
  ahead(t: number): number {
    return this.offsetMs + this.driftPpm * 1e-6 * (t - this.epoch);
  }
  send(t: number, delayMs: number): void {
    this.clocks.observe(1, Math.floor(t + delayMs), Math.floor(t + this.ahead(t)));
  }
  /** The estimate, checked against the truth. Returns its error. */
  check(within: number, what: string): number {
    const found = this.clocks.estimate(1);
    assert.ok(found !== null, `${what}: there is an estimate`);
    const error = Math.abs(found.offsetMs - this.ahead(found.at));
    assert.ok(error <= within, `${what}: ${error.toFixed(1)} ms off`);
    assert.ok(
      error <= found.errorMs,
      `${what}: ${error.toFixed(1)} ms off, bound ${found.errorMs.toFixed(1)}`,
    );
    return error;
  }
}

const seeds = fc.record({
  seed: fc.integer(),
  offsetMs: fc.integer({ min: -600_000, max: 600_000 }),
  driftPpm: fc.integer({ min: -100, max: 100 }),
});

for (const [name, delay] of Object.entries(DELAYS)) {
  test(`within 100 ms of truth and within its own bound, delays ${name}`, (t) => {
    let worst = 0;
    let bound = 0;
    let drift = 0;
    fc.assert(
      fc.property(seeds, ({ seed, offsetMs, driftPpm }) => {
        const device = new Device(offsetMs, driftPpm);
        const r = random(seed);
        for (let k = 0; k < 4 * 3_600; k++) {
          device.send(T0 + k * 1_000 + r() * 200, delay(r));
          if (k > 900 && k % 599 === 0) {
            worst = Math.max(worst, device.check(100, `${name} after ${k} messages`));
            bound = Math.max(bound, device.clocks.estimate(1)?.errorMs ?? Number.POSITIVE_INFINITY);
          }
        }
        const found = device.clocks.estimate(1);
        drift = Math.max(drift, Math.abs((found?.driftPpm ?? 1e9) - driftPpm));
        assert.ok(Math.abs((found?.driftPpm ?? 1e9) - driftPpm) <= (found?.driftErrorPpm ?? 0));
      }),
      { numRuns: 60, seed: 4 },
    );
    t.diagnostic(
      `worst ${worst.toFixed(1)} ms, largest bound ${bound.toFixed(0)} ms, drift ${drift.toFixed(1)} ppm`,
    );
  });
}

test('the bound holds from the first estimate on, at any rate', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.constantFrom(100, 1_000, 10_000, 60_000),
      fc.constantFrom('uniform', 'mostly fast', 'long tail', 'two paths'),
      ({ seed, offsetMs, driftPpm }, everyMs, kind) => {
        const device = new Device(offsetMs, driftPpm);
        const r = random(seed);
        for (let k = 1; k <= 3_000; k++) {
          device.send(T0 + k * everyMs, (DELAYS[kind] as (r: Random) => number)(r));
          if (k < 16) assert.equal(device.clocks.estimate(1), null);
          else if (k % 7 === 2) device.check(1_600, `message ${k} every ${everyMs} ms`);
        }
      },
    ),
    { numRuns: 60, seed: 4 },
  );
});

test('a backlog sent in a burst after hours away does not disturb it', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 10, max: 20_000 }), ({ seed, offsetMs, driftPpm }, awayS) => {
      const device = new Device(offsetMs, driftPpm);
      const r = random(seed);
      let t = T0;
      for (; t < T0 + HOUR; t += 1_000) device.send(t, r() * 2_000);
      const back = t + awayS * 1_000;
      // One reading a second was kept; they go out at 200 a second, the oldest first.
      for (let k = 0; k < awayS; k++) device.send(t + k * 1_000, back + k * 5 - (t + k * 1_000));
      device.check(100, 'after the burst');
      for (t = back; t < back + 600_000; t += 1_000) device.send(t, r() * 2_000);
      device.check(100, 'ten minutes later');
      assert.equal(device.clocks.steps(1), 0);
    }),
    { numRuns: 40, seed: 4 },
  );
});

test('a device that begins with its backlog is known soon after it', () => {
  const device = new Device(-180_000, 80);
  const r = random(1);
  const back = T0 + 2 * HOUR;
  for (let k = 0; k < 720; k++) device.send(T0 + k * 10_000, back - (T0 + k * 10_000) + k * 5);
  for (let k = 0; k < 900; k++) device.send(back + k * 1_000, r() * 2_000);
  device.check(100, 'after a backlog');
  assert.ok((device.clocks.estimate(1)?.errorMs ?? 1e9) < 500);
});

test('a clock that is set is found, and the estimate begins anew', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 6_000, max: 3_600_000 }),
      fc.boolean(),
      ({ seed, offsetMs, driftPpm }, step, back) => {
        const device = new Device(offsetMs, driftPpm);
        const r = random(seed);
        let t = T0;
        for (; t < T0 + HOUR; t += 1_000) device.send(t, r() * 2_000);
        device.offsetMs += back ? -step : step;
        for (const end = t + 900_000; t < end; t += 1_000) device.send(t, r() * 2_000);
        device.check(100, `a quarter of an hour after a step of ${back ? -step : step} ms`);
        assert.equal(device.clocks.steps(1), 1);
      },
    ),
    { numRuns: 40, seed: 4 },
  );
});

test('a small step widens the bound at first, and is over when the window has passed it', () => {
  for (const step of [-1_500, 1_500]) {
    const device = new Device(0, 20);
    const r = random(7);
    let t = T0;
    for (; t < T0 + 2 * HOUR; t += 1_000) device.send(t, r() * 500);
    device.offsetMs += step;
    for (const end = t + 2.5 * HOUR; t < end; t += 1_000) {
      device.send(t, r() * 500);
      if (t > end - 1.5 * HOUR && t % 300_000 === 0) device.check(100, `long after a step of ${step} ms`);
    }
  }
});

test('single wrong stamps change nothing', () => {
  const device = new Device(5_000, 0);
  const r = random(3);
  for (let k = 0; k < 1_000; k++) {
    device.send(T0 + k * 1_000, r() * 300);
    if (k % 10 === 0) device.clocks.observe(1, T0 + k * 1_000, T0 + k * 1_000 + 250_000 * (r() - 0.5));
  }
  device.check(50, 'with a tenth of wrong stamps');
  assert.equal(device.clocks.steps(1), 0);
});

test('saved and restored anywhere, it goes on as if nothing had happened', () => {
  fc.assert(
    fc.property(seeds, fc.array(fc.nat(2_000), { maxLength: 4 }), ({ seed, offsetMs, driftPpm }, cuts) => {
      const whole = new Device(offsetMs, driftPpm);
      const split = new Device(offsetMs, driftPpm);
      let clocks = split.clocks;
      const r = random(seed);
      for (let k = 0; k < 2_000; k++) {
        if (cuts.includes(k)) {
          const saved = JSON.parse(JSON.stringify(clocks.save(1))) as ReturnType<DeviceClocks['save']>;
          clocks = new DeviceClocks();
          clocks.grow(2);
          if (saved !== null) clocks.restore(1, saved);
        }
        const t = T0 + k * 61_003;
        const delay = r() < 0.02 ? r() * 50_000 : r() * 2_000;
        whole.send(t, delay);
        clocks.observe(1, Math.floor(t + delay), Math.floor(t + whole.ahead(t)));
      }
      assert.deepEqual(clocks.save(1), whole.clocks.save(1));
      assert.deepEqual(clocks.estimate(1), whole.clocks.estimate(1));
    }),
    { numRuns: 60 },
  );
});
