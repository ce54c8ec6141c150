import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forceLine } from '@weir/reading';
import { LEVELS } from '@weir/topology';
import { Harness, line, T0 } from './testing.ts';
import type { BuriedLine, WindowOptions } from './types.ts';

const OPTIONS: WindowOptions = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 60_000,
  idleTimeoutMs: 10_000,
  dedupHorizonMs: 120_000,
  dedupCount: 64,
};
const HOUR = 3_600_000;
const M = Math.floor(T0 / HOUR) * HOUR;

test('a window that is made of kept rows does not forget what a replay brought back', () => {
  let n = 0;
  const say = (ts: number, value: number): string =>
    line({ device: 0, ts: M + ts, seq: ++n, value, at: M + n, dup: false }, n);
  // The device stands at second 100: readings from second 38 on are not late, those of second 25 are.
  const before = [say(5_000, 1), say(25_000, 2), say(45_000, 3), say(100_000, 4), say(25_100, 5)];
  const first = new Harness([before], OPTIONS);
  first.apply(0);
  first.commit();
  const letter = first.letters[0] as BuriedLine;
  assert.equal(letter.reason, 'late');

  const replay = forceLine(letter.line, { offset: '0', readings: letter.readings ?? [], task: 'test' });
  const harness = new Harness([before, [replay], [say(45_500, 6)]], OPTIONS);
  harness.apply(0);
  harness.commit(1e9);
  harness.expire([M + HOUR, M + HOUR, M, M, M, M]);
  assert.ok(harness.rows.size > 0);
  for (const offset of [1, 2]) {
    harness.apply(offset);
    harness.commit(1e9);
    harness.restart();
  }
  const counts = new Map<string, number>();
  for (const { level, start, count } of harness.rows.values())
    counts.set(`${LEVELS[level]?.name} ${(start - M) / 1_000}`, count);
  // One of second 5, two of 25, two of 45.
  assert.equal(counts.get('1m 0'), 5);
  assert.equal(counts.get('1h 0'), 6);
  assert.equal(counts.get('10s 20'), 2);
  assert.equal(counts.get('1s 25'), undefined, 'an expired row is not made anew from one of its readings');
});
