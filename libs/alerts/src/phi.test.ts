import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_THRESHOLD, deviationsFor, phi, rhythmOf, silenceFor } from './phi.ts';

const rhythm = fc.record({
  period: fc.double({ min: 1, max: 1e8, noNaN: true }),
  deviation: fc.double({ min: 1, max: 1e8, noNaN: true }),
});

/** 1 - Φ(y), by Simpson's rule: what the logistic approximation is compared with. */
function tail(y: number): number {
  const steps = 4_000;
  const width = 12 / steps;
  const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(y) + density(y + 12);
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(y + i * width);
  return (sum * width) / 3;
}

test('phi is -log10 of the chance that a heartbeat comes later still', () => {
  for (const y of [-3, -1, 0, 1, 2, 3]) {
    const found = 10 ** -phi(3_000 + y * 250, { period: 1_000, deviation: 250 });
    assert.ok(Math.abs(found - tail(y)) < 0.0003, `1 - F(${y}) is ${tail(y)}, found ${found}`);
  }
  // As Akka's test of the same formula has it: at the mean half of all heartbeats are still to come.
  assert.ok(Math.abs(phi(3_000, { period: 1_000, deviation: 250 }) - Math.log10(2)) < 1e-12);
});

test('property: phi grows with silence, is finite, and reaches a threshold where it is said to', () => {
  const silence = fc.double({ min: 0, max: 1e12, noNaN: true });
  fc.assert(
    fc.property(
      rhythm,
      silence,
      silence,
      fc.double({ min: 0.5, max: 16, noNaN: true }),
      (of, a, b, limit) => {
        const [less, more] = a < b ? [a, b] : [b, a];
        assert.ok(phi(less, of) >= 0 && phi(less, of) <= phi(more, of));
        assert.ok(Number.isFinite(phi(more, of)));
        const reached = silenceFor(deviationsFor(limit), of);
        assert.ok(Math.abs(phi(reached, of) - limit) < 1e-4 * (1 + reached / of.deviation), `${reached}`);
      },
    ),
  );
});

test('property: whatever the period, jitter, bursts and pauses, silence is suspected between 3.5 and 6 periods', () => {
  const device = fc.record({
    period: fc.integer({ min: 1_000, max: 3_600_000 }),
    jitter: fc.double({ min: 0, max: 0.3, noNaN: true }),
    /** Messages that follow each other at once, beside the first. */
    burst: fc.integer({ min: 0, max: 5 }),
    shifts: fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 10, maxLength: 10 }),
    pauses: fc.uniqueArray(fc.nat({ max: 59 }), { maxLength: 4 }),
  });
  fc.assert(
    fc.property(device, ({ period, jitter, burst, shifts, pauses }) => {
      const intervals: number[] = [];
      for (let i = 0; i < 60; i++) {
        const shift = jitter * (shifts[i % shifts.length] as number);
        intervals.push(period * (1 + shift + (pauses.includes(i) ? 2 : 0)));
        for (let more = 0; more < burst; more++) intervals.push(5);
      }
      const found = rhythmOf(Float64Array.from(intervals.slice(-64)));
      const silent = silenceFor(deviationsFor(DEFAULT_THRESHOLD), found) / period;
      assert.ok(silent > 3.5 && silent < 6, `suspected after ${silent} periods`);
    }),
    { numRuns: 300 },
  );
});

test('a device without a period is judged by how it deviates', () => {
  // Intervals of a Poisson process: their quantiles.
  const intervals = Float64Array.from({ length: 64 }, (_, i) => -1_000 * Math.log(1 - (i + 0.5) / 64));
  const silent = silenceFor(deviationsFor(DEFAULT_THRESHOLD), rhythmOf(intervals));
  assert.ok(Math.exp(-silent / 1_000) < 0.0001, `${silent} ms of silence would be common`);
});
