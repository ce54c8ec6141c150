import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEVEL_MS } from '@weir/windows';
import fc from 'fast-check';
import { cellsOf, planStretches, stepFor } from './plan-series.ts';

const HOUR = 3_600_000;
const second = (max: number) => fc.integer({ min: 0, max }).map((s) => s * 1_000);
const questions = fc
  .record({
    from: second(40_000),
    length: fc.oneof(second(120), second(90_000)).filter((ms) => ms > 0),
    points: fc.integer({ min: 1, max: 2_000 }),
    watermark: fc.oneof(fc.constant(Number.NEGATIVE_INFINITY), second(130_000)),
    // Whole hours, the coarser the level the older.
    expired: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 6, maxLength: 6 }),
  })
  .map(({ from, length, points, watermark, expired }) => ({
    from,
    to: from + length,
    stepMs: stepFor(length, points),
    points,
    held: {
      watermark,
      expiredBefore: [...expired]
        .sort((a, b) => b - a)
        .map((hours) => (hours === 0 ? Number.NEGATIVE_INFINITY : hours * HOUR)),
    },
  }));

test('stretches cover the range once, with aligned windows that are stored and not expired', () => {
  fc.assert(
    fc.property(questions, ({ from, to, stepMs, held }) => {
      const stretches = planStretches(from, to, stepMs, held);
      let at = stretches[0]?.from as number;
      assert.ok(at <= from && at > from - HOUR);
      for (const { level, from: start, to: end } of stretches) {
        assert.equal(start, at);
        assert.ok(end > start);
        at = end;
        if (level === null) {
          assert.ok(held.expiredBefore.every((before) => before > start));
          continue;
        }
        const size = LEVEL_MS[level] as number;
        assert.equal(start % size, 0);
        assert.equal(end % size, 0);
        assert.ok((held.expiredBefore[level] as number) <= start, 'nothing expired is read');
        const finest = held.expiredBefore.findIndex((before) => before <= start);
        if (level > finest) {
          assert.ok(end <= held.watermark, 'a coarse window may be missing past the watermark');
          assert.ok(end <= to && start >= from, 'a coarse window does not reach over an end');
          assert.ok(stepMs % size === 0, 'a coarse window does not reach over a point');
        }
      }
      assert.ok(at >= to && at < to + HOUR);
    }),
    { numRuns: 3_000 },
  );
});

test('points cover the stretches once, hold whole windows, and are not more than asked for', () => {
  fc.assert(
    fc.property(questions, ({ from, to, stepMs, points, held }) => {
      const stretches = planStretches(from, to, stepMs, held);
      const cells = cellsOf(stretches, stepMs);
      let at = stretches[0]?.from as number;
      for (const { start, end } of cells) {
        assert.equal(start, at);
        at = end;
        for (const { level, from: low, to: high } of stretches) {
          if (level === null || high <= start || low >= end) continue;
          const size = LEVEL_MS[level] as number;
          assert.ok(start % size === 0 || start <= low);
          assert.ok(end % size === 0 || end >= high);
          assert.ok(end - start <= Math.max(size, stepMs));
        }
      }
      assert.equal(at, stretches.at(-1)?.to);
      // One more for the beginning and the end of the range, and one for each level that begins within.
      assert.ok(cells.length <= points + 1 + stretches.length);
    }),
    { numRuns: 2_000 },
  );
});

test('a range inside closed windows is read from the coarsest ones, and from finer ones at its ends', () => {
  const at = (text: string): number => Date.parse(`2026-01-10T${text}Z`);
  const held = { watermark: at('12:31:07'), expiredBefore: LEVEL_MS.map(() => Number.NEGATIVE_INFINITY) };
  const told = planStretches(at('09:59:58'), at('12:31:20'), HOUR, held).map(({ level, from, to }) => [
    level,
    new Date(from).toISOString().slice(11, 19),
    new Date(to).toISOString().slice(11, 19),
  ]);
  assert.deepEqual(told, [
    [0, '09:59:58', '10:00:00'],
    [5, '10:00:00', '12:00:00'],
    [4, '12:00:00', '12:30:00'],
    [2, '12:30:00', '12:31:00'],
    [0, '12:31:00', '12:31:20'],
  ]);
});

test('the length of a point divides the day, or is whole days, and gives as many points as it can', () => {
  const hours = (h: number): number => h * HOUR;
  assert.equal(stepFor(hours(1), 3_600), 1_000);
  assert.equal(stepFor(hours(1), 300), 20_000);
  assert.equal(stepFor(hours(24), 300), 300_000);
  assert.equal(stepFor(hours(24 * 365), 300), hours(48));
});
