import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { exactQuantile } from './recompute.ts';
import { MAX_SPAN, RELATIVE_ERROR, Sketch } from './sketch.ts';

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const ordinary = fc.double({ min: -1e12, max: 1e12, noNaN: true });
const of = (values: readonly number[]): Sketch => {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return sketch;
};
const hex = (sketch: Sketch): string => sketch.encode().toString('hex');

test('quantiles are within 1 %, or within 10^-35 of the largest magnitude', () => {
  fc.assert(
    fc.property(
      fc.array(finite, { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, q) => {
        const exact = exactQuantile(
          [...values].sort((a, b) => a - b),
          q,
        );
        const largest = Math.max(...values.map(Math.abs));
        const bound = Math.max(Math.abs(exact) * (RELATIVE_ERROR + 1e-9), largest * 1e-35, 2 ** -1022);
        assert.ok(Math.abs(of(values).quantile(q) - exact) <= bound);
      },
    ),
    { numRuns: 500 },
  );
});

test('a merge is associative, commutative and equal to adding everything, also where it collapses', () => {
  const list = fc.array(fc.oneof(finite, ordinary), { maxLength: 60 });
  fc.assert(
    fc.property(list, list, list, (a, b, c) => {
      const left = of(a);
      left.merge(of(b));
      left.merge(of(c));
      const right = of(c);
      const inner = of(b);
      inner.merge(of(a));
      right.merge(inner);
      assert.equal(hex(left), hex(right));
      assert.equal(hex(left), hex(of([...c, ...a, ...b])));
    }),
    { numRuns: 500 },
  );
});

test('encoding and decoding gives the same sketch; cut bytes are refused', () => {
  fc.assert(
    fc.property(fc.array(finite, { maxLength: 100 }), (values) => {
      const bytes = of(values).encode();
      assert.equal(hex(Sketch.decode(bytes)), bytes.toString('hex'));
      for (let end = 0; end < bytes.length; end++)
        assert.throws(() => Sketch.decode(bytes.subarray(0, end)), RangeError);
    }),
    { numRuns: 50 },
  );
});

test('the number of buckets is bounded for each sign', () => {
  const sketch = new Sketch();
  for (let exponent = -300; exponent <= 300; exponent += 0.02) {
    sketch.add(10 ** exponent);
    sketch.add(-(10 ** exponent));
  }
  assert.ok(sketch.size <= 2 * MAX_SPAN, `${sketch.size} buckets`);
});
