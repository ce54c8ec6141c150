import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WindowMerger } from './merger.ts';
import { exactQuantile } from './recompute.ts';
import { Sketch } from './sketch.ts';
import { Ewma, eventsPerSecond, ewmaOf, hoppingWindows, mergeFigures, ratePerSecond } from './views.ts';
import { type Figures, meanOf, quantileOf } from './window.ts';

const PANE = 1_000;
const T0 = 1_700_000_000_000;
interface Reading {
  readonly ts: number;
  readonly value: number;
}

/** Readings of a series with gaps, several of them in some panes. */
const readings = fc
  .array(
    fc.record({
      after: fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: 1, max: 900 }) },
        fc.integer({ min: 1, max: 9_000 }),
      ),
      value: fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: -5, max: 5 })),
    }),
    { minLength: 1, maxLength: 80 },
  )
  .map((steps): Reading[] => {
    let ts = T0;
    return steps.map(({ after, value }) => {
      ts += after;
      return { ts, value };
    });
  });

/** Figures in the plain way; null without readings. */
function direct(all: readonly Reading[], start: number, sizeMs: number): Figures | null {
  const inside = all.filter(({ ts }) => ts >= start && ts < start + sizeMs);
  const [first] = inside;
  const last = inside.at(-1);
  if (first === undefined || last === undefined) return null;
  const values = inside.map(({ value }) => value);
  const sum = values.reduce((total, value) => total + value, 0);
  const mean = sum / values.length;
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return {
    start,
    count: values.length,
    sum,
    min: Math.min(...values),
    max: Math.max(...values),
    m2: values.reduce((total, value) => total + (value - mean) ** 2, 0),
    ...{ first: first.value, firstTs: first.ts, last: last.value, lastTs: last.ts },
    sketch,
  };
}

function panesOf(all: readonly Reading[], paneMs = PANE): Figures[] {
  const starts = [...new Set(all.map(({ ts }) => Math.floor(ts / paneMs) * paneMs))];
  return starts.flatMap((start) => {
    const pane = direct(all, start, paneMs);
    // As stored: panes of one or two readings have no sketch.
    return pane === null ? [] : [pane.count > 2 ? pane : { ...pane, sketch: null }];
  });
}

const geometry = fc.record({
  size: fc.integer({ min: 1, max: 12 }),
  hop: fc.integer({ min: 1, max: 15 }),
  skip: fc.integer({ min: 0, max: 20_000 }),
  span: fc.integer({ min: 1, max: 60_000 }),
});
const bits = (figures: Figures | null): unknown =>
  figures === null ? null : { ...figures, sketch: figures.sketch?.encode().toString('hex') ?? null };

test('hopping windows are those of the readings inside them; without one they are null', () => {
  fc.assert(
    fc.property(readings, geometry, (all, { size, hop, skip, span }) => {
      const [sizeMs, hopMs, from] = [size * PANE, hop * PANE, T0 - 5_000 + skip];
      const windows = [
        ...hoppingWindows(panesOf(all), { paneMs: PANE, sizeMs, hopMs, from, to: from + span }),
      ];
      const starts: number[] = [];
      for (let start = Math.ceil(from / hopMs) * hopMs; start < from + span; start += hopMs)
        starts.push(start);
      assert.deepEqual(
        windows.map(({ start }) => start),
        starts,
      );
      for (const { start, figures } of windows) {
        const expected = direct(all, start, sizeMs);
        if (expected === null || figures === null) {
          assert.equal(figures, expected);
          continue;
        }
        const { sum, m2, sketch, ...exact } = figures;
        const { sum: plainSum, m2: plainM2, sketch: plainSketch, ...plain } = expected;
        assert.deepEqual(exact, plain);
        const magnitude = Math.max(Math.abs(figures.min), Math.abs(figures.max), 1e-300);
        assert.ok(Math.abs(sum - plainSum) <= 1e-12 * magnitude * figures.count);
        assert.ok(Math.abs(m2 - plainM2) <= 1e-9 * magnitude ** 2 * figures.count);
        assert.deepEqual(sketch?.encode(), plainSketch?.encode());
        const values = all.filter(({ ts }) => ts >= start && ts < start + sizeMs).map(({ value }) => value);
        values.sort((a, b) => a - b);
        for (const q of [0.5, 0.9, 0.99]) {
          const quantile = exactQuantile(values, q);
          assert.ok(
            Math.abs(quantileOf(figures, q) - quantile) <=
              Math.max(Math.abs(quantile) * 0.010001, magnitude * 1e-35, 1e-300),
          );
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('a window has the same bits whatever the range of the query', () => {
  fc.assert(
    fc.property(readings, geometry, geometry, (all, a, b) => {
      const lengths = { paneMs: PANE, sizeMs: a.size * PANE, hopMs: a.hop * PANE };
      const windowsIn = (from: number, to: number) => [
        ...hoppingWindows(
          panesOf(all).filter(({ start }) => start >= from && start < to + lengths.sizeMs),
          { ...lengths, from, to },
        ),
      ];
      const whole = windowsIn(T0 - 20_000, T0 + 100_000);
      const from = T0 - 5_000 + b.skip;
      const part = windowsIn(from, from + b.span);
      assert.deepEqual(
        part.map(({ figures }) => bits(figures)),
        whole
          .filter(({ start }) => start >= from && start < from + b.span)
          .map(({ figures }) => bits(figures)),
      );
    }),
    { numRuns: 100 },
  );
});

test('windows that do not overlap have the bits of stored rows', () => {
  fc.assert(
    fc.property(readings, fc.integer({ min: 2, max: 12 }), (all, size) => {
      const lengths = { paneMs: PANE, sizeMs: size * PANE, hopMs: size * PANE };
      const merger = new WindowMerger();
      for (const { start, figures } of hoppingWindows(panesOf(all), {
        ...lengths,
        from: T0 - 20_000,
        to: T0 + 90_000,
      })) {
        const parts = panesOf(all).filter((pane) => pane.start >= start && pane.start < start + size * PANE);
        if (figures === null) {
          assert.equal(parts.length, 0);
          continue;
        }
        const { sketch: _, ...row } = figures;
        const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => quantileOf(figures, q));
        assert.deepEqual({ ...row, p50, p90, p99 }, merger.merge(start, parts));
      }
    }),
    { numRuns: 100 },
  );
});

test('a hop costs a few merges, however long the window', () => {
  const all = Array.from({ length: 2_500 }, (_, i) => ({ ts: T0 + i * 1_000, value: i % 7 }));
  const panes = panesOf(all);
  const reads = (sizeMs: number): number => {
    let merges = 0;
    const counted = panes.map(
      (pane): Figures => ({
        ...pane,
        get sketch() {
          merges++;
          return null;
        },
      }),
    );
    let windows = 0;
    for (const _ of hoppingWindows(counted, {
      paneMs: PANE,
      sizeMs,
      hopMs: PANE,
      from: T0,
      to: T0 + 1_500_000,
    }))
      windows++;
    return merges / windows;
  };
  assert.ok(reads(600_000) < 2 * reads(60_000), 'reads of a pane do not grow with the window');
});

test('sizes that panes do not divide are refused', () => {
  const lengths = { paneMs: 10_000, from: 0, to: 1 };
  assert.throws(() => [...hoppingWindows([], { ...lengths, sizeMs: 15_000, hopMs: 10_000 })], RangeError);
  assert.throws(() => [...hoppingWindows([], { ...lengths, sizeMs: 20_000, hopMs: 0 })], RangeError);
});

test('the average of an EWMA is the weighted sum of what came, with weights halved every half-life', () => {
  fc.assert(
    fc.property(readings, fc.integer({ min: 1, max: 60_000 }), (all, halfLife) => {
      const average = new Ewma(halfLife);
      let got = 0;
      for (const { ts, value } of all) got = average.add(ts, value);
      const end = all.at(-1)?.ts ?? 0;
      let expected = 0;
      all.forEach(({ ts, value }, i) => {
        const before = all[i - 1]?.ts ?? Number.NEGATIVE_INFINITY;
        const weight = 2 ** ((ts - end) / halfLife) - 2 ** ((before - end) / halfLife);
        expected += weight * value;
      });
      assert.ok(Math.abs(got - expected) <= 1e-6, `${got} is not ${expected}`);
    }),
    { numRuns: 200 },
  );
  assert.equal(new Ewma(1_000).add(0, 8), 8);
  const average = new Ewma(1_000);
  average.add(0, 8);
  assert.equal(average.add(1_000, 0), 4);
  assert.equal(average.add(500, 100), 4, 'an older value changes nothing');
});

test('EWMA of panes, rates and events per second', () => {
  const all = [
    { ts: T0, value: 1 },
    { ts: T0 + 500, value: 3 },
    { ts: T0 + 5_500, value: 2 },
  ];
  const panes = panesOf(all);
  assert.deepEqual(
    [...ewmaOf(panes, 5_000)],
    [
      { start: T0, value: 2 },
      { start: T0 + 5_000, value: 2 },
    ],
  );
  const [pane, alone] = panes;
  assert.ok(pane !== undefined && alone !== undefined);
  assert.equal(ratePerSecond(pane), 4);
  assert.equal(ratePerSecond(alone), null);
  const both = mergeFigures(pane, alone);
  assert.ok(both !== null);
  assert.equal(ratePerSecond(both), 1 / 5.5);
  assert.equal(eventsPerSecond(both, 10_000), 0.3);
  assert.equal(meanOf(both), 2);
});
