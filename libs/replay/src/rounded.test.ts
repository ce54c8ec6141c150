import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRounding, RoundedWindows } from './rounded.ts';

const T0 = 1_700_000_000_000;

test('a window is one of those from the level on that its reading reached', () => {
  const windows = new RoundedWindows([{ seriesId: 7, ts: T0 + 2_500, finest: 1 }]);
  assert.deepEqual(
    [0, 1, 2].map((level) => windows.has(level, 7, T0 - (level === 2 ? T0 % 60_000 : 0))),
    [false, true, true],
  );
  assert.equal(windows.has(1, 8, T0), false);
  assert.equal(windows.has(1, 7, T0 + 10_000), false);
});

test('only the order of adding up is excused', () => {
  const row = { count: 4, min: -10, max: 40 };
  const of = (name: string, stored: number, recomputed: number) =>
    isRounding({ [name]: { stored, recomputed } }, row);
  assert.equal(of('sum', 46, 46 + 7e-15), true);
  assert.equal(of('sum', 46, 46 + 1e-9), false);
  assert.equal(of('m2', 900, 900 + 1e-12), true);
  assert.equal(of('m2', 900, 901), false);
  assert.equal(of('count', 4, 4.0000000000001), false);
  assert.equal(of('sum', 46, Number.NaN), false);
});
