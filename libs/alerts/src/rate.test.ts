import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type RateMemory, rateOfChange } from './rate.ts';

function rates(readings: readonly (readonly [ts: number, value: number])[], over: number): (number | null)[] {
  let memory: RateMemory = [];
  return readings.map(([ts, value]) => {
    const { perMs, memory: after } = rateOfChange(memory, over, ts, value);
    assert.ok(after.length <= 36, `${after.length / 2} readings remembered`);
    memory = after;
    return perMs;
  });
}

test('a steady climb has its rate once a span is known, and again after a gap', () => {
  const climb = (from: number): [number, number][] =>
    Array.from({ length: 21 }, (_, i) => [from + i * 1_000, (from + i * 1_000) * 0.5]);
  const found = rates([...climb(0), ...climb(100_000)], 10_000);
  const expected = [...Array<null>(10).fill(null), ...Array<number>(11).fill(0.5)];
  assert.deepEqual(found, [...expected, ...expected]);
});

test('property: of a straight line it is the slope, whatever the gaps', () => {
  const steps = fc.array(fc.integer({ min: 1, max: 15_000 }), { maxLength: 100 });
  const slope = fc.integer({ min: -1_000, max: 1_000 });
  fc.assert(
    fc.property(steps, slope, (gaps, rise) => {
      let ts = 0;
      const line = gaps.map((gap) => {
        ts += gap;
        return [ts, ts * rise] as const;
      });
      for (const rate of rates(line, 10_000)) assert.ok(rate === null || rate === rise);
    }),
  );
});

test('property: the reading compared with lies a span back, at most a sixteenth and one step more', () => {
  const steps = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 20, maxLength: 150 });
  fc.assert(
    fc.property(steps, (gaps) => {
      let ts = 0;
      // value = ts², so that a rate tells how far it looked back: (t² − b²)/(t − b) = t + b
      const curve = gaps.map((gap) => {
        ts += gap;
        return [ts, ts * ts] as const;
      });
      for (const [index, rate] of rates(curve, 10_000).entries()) {
        if (rate === null) continue;
        const at = curve[index]?.[0] ?? 0;
        const back = at - Math.round(rate - at);
        assert.ok(back >= 10_000 && back <= 10_000 + 625 + 2_000, `${back} ms back`);
      }
    }),
  );
});
