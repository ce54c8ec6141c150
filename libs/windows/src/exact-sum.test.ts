import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addMoment, distances, ExactSum } from './exact-sum.ts';

/** Every finite float below the limit, tiny and huge ones next to each other. */
const term = fc.oneof(
  fc.double({ min: -(2 ** 959), max: 2 ** 959, noNaN: true }),
  fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  fc.integer({ min: -1000, max: 1000 }),
);
const terms = fc.array(term, { maxLength: 60 });

const of = (values: readonly number[]): ExactSum => {
  const sum = new ExactSum();
  for (const value of values) sum.add(value);
  return sum;
};

/** A float as an integer multiple of 2^-1074, the smallest one. */
function scaled(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & ((1n << 52n) - 1n);
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return value < 0 ? -magnitude : magnitude;
}

/** The float nearest to an integer multiple of 2^-1074, ties to even. */
function nearest(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  const shift = Math.max(0, magnitude.toString(2).length - 53);
  const one = 1n << BigInt(shift);
  let mantissa = magnitude / one;
  const twice = (magnitude % one) * 2n;
  if (twice > one || (twice === one && mantissa % 2n === 1n)) mantissa++;
  // In two steps, because one factor alone may leave the range of a float.
  const half = Math.floor((shift - 1_074) / 2);
  const result = Number(mantissa) * 2 ** half * 2 ** (shift - 1_074 - half);
  return value < 0n ? -result : result;
}

test('a sum equals integer arithmetic, rounded once, in any order', () => {
  fc.assert(
    fc.property(terms, fc.func(fc.integer()), (values, rank) => {
      const exact = nearest(values.reduce((sum, value) => sum + scaled(value), 0n));
      assert.equal(of(values).value() + 0, exact + 0);
      const shuffled = values.map((value, i) => ({ value, at: rank(i) })).sort((a, b) => a.at - b.at);
      const other = of(shuffled.map(({ value }) => value));
      assert.deepEqual(other.encode(), of(values).encode());
    }),
    { numRuns: 1_000 },
  );
});

test('a half between two floats is decided by what lies below it', () => {
  assert.equal(of([1, 2 ** -53]).value(), 1);
  assert.equal(of([1, 2 ** -53, 2 ** -120]).value(), 1 + 2 ** -52);
  assert.equal(of([1 + 2 ** -52, 2 ** -53]).value(), 1 + 2 ** -51);
  assert.equal(of([1 + 2 ** -52, 2 ** -53, -(2 ** -1074)]).value(), 1 + 2 ** -52);
  assert.equal(of(new Array<number>(10).fill(0.1)).value(), 1);
});

test('what is taken back leaves no trace, and parts merge to the whole', () => {
  fc.assert(
    fc.property(terms, terms, (kept, removed) => {
      const whole = of([...kept, ...removed]);
      for (const value of removed) whole.subtract(value);
      assert.deepEqual(whole.encode(), of(kept).encode());
      whole.merge(of(removed));
      assert.deepEqual(whole.encode(), of([...removed, ...kept]).encode());
    }),
    { numRuns: 500 },
  );
});

test('the encoding is unique, exact, and says the rounded value first', () => {
  fc.assert(
    fc.property(terms, (values) => {
      const encoded = of(values).encode();
      assert.deepEqual(ExactSum.decode(encoded).encode(), encoded);
      assert.equal(encoded[0] ?? 0, of(values).value() + 0);
      assert.equal(
        encoded.reduce((sum, part) => sum + scaled(part), 0n),
        values.reduce((sum, value) => sum + scaled(value), 0n),
      );
    }),
    { numRuns: 500 },
  );
});

test('a term beyond the limit hides the sum until it is taken back', () => {
  for (const huge of [Number.POSITIVE_INFINITY, -Number.MAX_VALUE, Number.NaN]) {
    const sum = of([1, huge, 2]);
    assert.ok(Number.isNaN(sum.value()));
    const again = ExactSum.decode(sum.encode());
    again.subtract(huge);
    assert.equal(again.value(), 3);
    assert.deepEqual(again.encode(), [3]);
  }
});

test('the deviation over groups of values is that of integer arithmetic, however far away the mean is', () => {
  const group = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 1, maxLength: 20 });
  const offset = fc.constantFrom(0, 1, 1e6, 1e9, 1e12, -1e12);
  fc.assert(
    fc.property(fc.array(group, { minLength: 1, maxLength: 12 }), offset, (groups, far) => {
      const sum = new ExactSum();
      const moment = new ExactSum();
      const all: bigint[] = [];
      for (const values of groups) {
        const shifted = values.map((value) => BigInt(value) + BigInt(far));
        all.push(...shifted);
        const total = shifted.reduce((a, b) => a + b, 0n);
        const n = BigInt(values.length);
        // Sum of squared distances times n is an integer.
        const squares = shifted.reduce((a, b) => a + b * b, 0n) * n - total * total;
        sum.add(Number(total));
        addMoment(moment, 1, values.length, Number(total), Number(squares) / values.length);
      }
      const n = BigInt(all.length);
      const total = all.reduce((a, b) => a + b, 0n);
      const exact = Number(all.reduce((a, b) => a + b * b, 0n) * n - total * total) / all.length;
      const found = distances(all.length, sum, moment);
      const mean = Number(total) / all.length;
      assert.ok(
        Math.abs(found - exact) <= 1e-12 * exact + 2 ** -100 * all.length * mean * mean,
        `${found} for ${exact}`,
      );
    }),
    { numRuns: 500 },
  );
});

test('a second moment can be taken back, also beyond the limit', () => {
  const row = fc.tuple(
    fc.integer({ min: 1, max: 1e6 }),
    fc.double({ noNaN: true }),
    fc.double({ min: 0, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(row), fc.array(row), (kept, removed) => {
      const moment = new ExactSum();
      for (const [n, sum, m2] of [...removed, ...kept]) addMoment(moment, 1, n, sum, m2);
      for (const [n, sum, m2] of removed) addMoment(moment, -1, n, sum, m2);
      const direct = new ExactSum();
      for (const [n, sum, m2] of kept) addMoment(direct, 1, n, sum, m2);
      assert.deepEqual(moment.encode(), direct.encode());
    }),
    { numRuns: 500 },
  );
});
