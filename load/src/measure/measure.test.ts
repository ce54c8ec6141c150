import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Bits } from './bits.ts';
import { Histogram, PERCENTILES } from './histogram.ts';

const durations = fc.array(fc.double({ min: 0, max: 120_000, noNaN: true }), {
  minLength: 1,
  maxLength: 300,
});

test('percentiles are those of the sorted values, at most 1 % too large and never too small', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const histogram = new Histogram();
      for (const value of values) histogram.record(value);
      const sorted = values.map((value) => Math.round(value * 1000) / 1000).sort((a, b) => a - b);
      for (const percentile of PERCENTILES) {
        const exact = sorted[Math.max(1, Math.ceil((percentile / 100) * sorted.length)) - 1] as number;
        const found = histogram.at(percentile);
        assert.ok(
          found >= exact - 1e-9 && found <= exact * 1.01 + 0.001,
          `p${percentile}: ${found}, exact ${exact}`,
        );
      }
      assert.equal(histogram.latency?.max, sorted.at(-1));
      assert.equal(histogram.count, values.length);
    }),
  );
});

test('parts that were taken and added make the whole', () => {
  fc.assert(
    fc.property(fc.array(durations, { maxLength: 4 }), (parts) => {
      const [whole, merged, part] = [new Histogram(), new Histogram(), new Histogram()];
      for (const values of parts) {
        for (const value of values) {
          whole.record(value);
          part.record(value);
        }
        merged.add(part.take());
        assert.equal(part.count, 0);
      }
      assert.deepEqual(merged.latency, whole.latency);
      assert.deepEqual(new Histogram().merge(whole).latency, whole.latency);
    }),
  );
});

test('what is too long or negative is kept at the ends', () => {
  const histogram = new Histogram();
  histogram.record(-5);
  histogram.record(Number.MAX_SAFE_INTEGER);
  assert.equal(histogram.at(50), 0);
  assert.equal(histogram.at(100), (2 ** 31 - 1) / 1000);
  assert.equal(new Histogram().latency, null);
});

test('a set of bits is a set', () => {
  const numbers = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 200 });
  fc.assert(
    fc.property(numbers, numbers, (some, others) => {
      const [bits, other] = [new Bits(), new Bits()];
      const known = new Set<number>();
      for (const n of some) {
        assert.equal(bits.add(n), !known.has(n));
        known.add(n);
      }
      for (const n of others) other.add(n);
      assert.equal(bits.count, known.size);
      assert.equal(new Bits(bits.bytes).count, known.size);
      for (const n of others) assert.equal(bits.has(n), known.has(n));
      assert.equal(bits.missingFrom(other), [...known].filter((n) => !others.includes(n)).length);
    }),
  );
});
