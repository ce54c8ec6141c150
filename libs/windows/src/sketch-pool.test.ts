import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Sketch } from './sketch.ts';
import { PooledSketch, SketchPool } from './sketch-pool.ts';

const values = fc.array(
  fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ min: 20, max: 25, noNaN: true }),
    fc.constant(20.5),
  ),
  { maxLength: 80 },
);
const hexOf = (pool: SketchPool, sketch: number): string => {
  const view = new PooledSketch(pool);
  view.sketch = sketch;
  return view.encode().toString('hex');
};
const plain = (list: readonly number[]): Sketch => {
  const sketch = new Sketch();
  for (const value of list) sketch.add(value);
  return sketch;
};

test('a sketch in a pool is the sketch of its values, whatever its neighbours do', () => {
  fc.assert(
    fc.property(
      fc.array(values, { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.nat()),
      (lists, picks) => {
        const pool = new SketchPool();
        const sketches = lists.map(() => pool.make());
        // In turns, so that blocks grow, move and are used again between each other.
        for (let i = 0; i < Math.max(...lists.map((list) => list.length)); i++) {
          lists.forEach((list, which) => {
            if (i < list.length) sketches[which] = pool.add(sketches[which] as number, list[i] as number);
          });
        }
        lists.forEach((list, which) => {
          assert.equal(hexOf(pool, sketches[which] as number), plain(list).encode().toString('hex'));
        });
        const all: number[] = [];
        let merged = pool.make();
        for (const [which, list] of lists.entries()) {
          all.push(...list);
          const copy = pool.copy(sketches[which] as number);
          merged = pool.merge(
            merged,
            (picks.next().value ?? 0) % 2 === 0 ? copy : (sketches[which] as number),
          );
          pool.release(copy);
        }
        const whole = plain(all);
        assert.equal(hexOf(pool, merged), whole.encode().toString('hex'));
        assert.equal(hexOf(pool, pool.load(whole)), hexOf(pool, merged));
        for (const q of [0, 0.5, 0.9, 0.99, 1])
          assert.ok(Object.is(pool.quantile(merged, q), whole.quantile(q)));
      },
    ),
    { numRuns: 200 },
  );
});

test('a bucket that holds more than a word counts is one bucket to the outside', () => {
  const pool = new SketchPool();
  const whole = new Sketch();
  let sketch = pool.make();
  for (let i = 0; i < 40_000; i++) {
    const value = i % 4 === 0 ? 7 : 20.5;
    sketch = pool.add(sketch, value);
    whole.add(value);
  }
  for (let doubling = 0; doubling < 6; doubling++) {
    assert.equal(hexOf(pool, sketch), whole.encode().toString('hex'));
    assert.equal(pool.quantile(sketch, 0.2), whole.quantile(0.2));
    assert.equal(pool.quantile(sketch, 0.5), whole.quantile(0.5));
    const copy = pool.copy(sketch);
    sketch = pool.merge(sketch, copy);
    pool.release(copy);
    whole.merge(Sketch.decode(whole.encode()));
  }
  assert.equal(hexOf(pool, pool.load(whole)), hexOf(pool, sketch));
});

test('what is released is used again', () => {
  const pool = new SketchPool();
  const round = (): void => {
    const sketches = Array.from({ length: 50 }, (_, i) => {
      let sketch = pool.make();
      for (let value = 1; value < 3 * i; value++) sketch = pool.add(sketch, value);
      return sketch;
    });
    for (const sketch of sketches) pool.release(sketch);
  };
  round();
  const { bytes } = pool;
  for (let i = 0; i < 20; i++) round();
  assert.equal(pool.bytes, bytes);
});
