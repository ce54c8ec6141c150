import assert from 'node:assert/strict';
import { LEVELS } from '@weir/topology';
import type { StoredWindow } from './sinks.ts';

/** What a test knows of a reading that it sent; each is listed once, however often the device sent it. */
export interface KnownReading {
  readonly device: string;
  readonly metric: string;
  readonly ts: number;
  readonly seq: number;
  readonly value: number;
}

/** What becomes of what one device sent. */
export interface Judged {
  /** The readings that count, each once. */
  readonly counted: KnownReading[];
  readonly late: KnownReading[];
  readonly duplicates: number;
}

/**
 * The rules of duplicates and lateness, as the README of libs/windows states them, for one device whose readings
 * reached the log in this order.
 */
export function judge(
  sent: readonly KnownReading[],
  rule: { readonly outOfOrdernessMs: number; readonly allowedLatenessMs: number },
): Judged {
  const judged: Judged & { duplicates: number } = { counted: [], late: [], duplicates: 0 };
  const seen = new Set<string>();
  let newestSecond = Number.NEGATIVE_INFINITY;
  for (const reading of sent) {
    const identity = `${reading.metric} ${reading.ts} ${reading.seq}`;
    if (seen.has(identity)) {
      judged.duplicates++;
      continue;
    }
    seen.add(identity);
    const second = Math.floor(reading.ts / 1_000) * 1_000;
    const watermark = newestSecond - rule.outOfOrdernessMs;
    if (second + 1_000 + rule.allowedLatenessMs <= watermark) {
      judged.late.push(reading);
      continue;
    }
    judged.counted.push(reading);
    newestSecond = Math.max(newestSecond, second);
  }
  return judged;
}

interface Expected {
  values: number[];
  firstTs: number;
  first: number;
  lastTs: number;
  last: number;
}

/**
 * Compares stored windows with a recomputation that shares no code with Weir: group by interval, then the textbook
 * formulas over all values (two-pass variance, sorted quantiles). Every expected window must be there and no other.
 */
export function assertWindows(
  windows: readonly StoredWindow[],
  readings: readonly KnownReading[],
  label: string,
  /** Levels that are not compared. */
  without: readonly string[] = [],
): void {
  const expected = new Map<string, Expected>();
  for (const { name, seconds } of LEVELS) {
    if (without.includes(name)) continue;
    for (const reading of readings) {
      const start = Math.floor(reading.ts / (seconds * 1_000)) * seconds * 1_000;
      const key = `${name} ${reading.device} ${reading.metric} ${start}`;
      const known = expected.get(key);
      if (known === undefined) {
        expected.set(key, {
          values: [reading.value],
          firstTs: reading.ts,
          first: reading.value,
          lastTs: reading.ts,
          last: reading.value,
        });
        continue;
      }
      known.values.push(reading.value);
      if (reading.ts < known.firstTs) {
        known.firstTs = reading.ts;
        known.first = reading.value;
      }
      if (reading.ts >= known.lastTs) {
        known.lastTs = reading.ts;
        known.last = reading.value;
      }
    }
  }
  const problems: string[] = [];
  const close = (actual: number, wanted: number, tolerance: number): boolean =>
    Math.abs(actual - wanted) <= tolerance * Math.max(1, Math.abs(wanted));
  for (const window of windows) {
    const key = `${window.level} ${window.device} ${window.metric} ${window.start}`;
    const wanted = expected.get(key);
    if (wanted === undefined) {
      problems.push(`${key}: not expected`);
      continue;
    }
    expected.delete(key);
    const sorted = wanted.values.toSorted((a, b) => a - b);
    const n = sorted.length;
    const sum = sorted.reduce((total, value) => total + value, 0);
    const mean = sum / n;
    const m2 = sorted.reduce((total, value) => total + (value - mean) ** 2, 0);
    const wrong = (figure: string, actual: unknown, want: unknown): number =>
      problems.push(`${key}: ${figure} is ${actual}, not ${want}`);
    if (window.count !== n) wrong('count', window.count, n);
    if (!close(window.sum, sum, 1e-12)) wrong('sum', window.sum, sum);
    if (window.min !== sorted[0]) wrong('min', window.min, sorted[0]);
    if (window.max !== sorted[n - 1]) wrong('max', window.max, sorted[n - 1]);
    if (!close(window.m2, m2, 1e-9)) wrong('m2', window.m2, m2);
    if (window.first !== wanted.first) wrong('first', window.first, wanted.first);
    if (window.last !== wanted.last) wrong('last', window.last, wanted.last);
    for (const [name, q] of [
      ['p50', 0.5],
      ['p90', 0.9],
      ['p99', 0.99],
    ] as const) {
      const actual = window[name];
      if (actual === null) {
        if (window.level !== '1s') wrong(name, 'absent', 'a number');
        continue;
      }
      // The sketch promises 1 % relative error of a value at the quantile's rank; either neighbour of a fractional
      // rank is right.
      const low = sorted[Math.floor(q * (n - 1))] as number;
      const high = sorted[Math.ceil(q * (n - 1))] as number;
      const slack = (value: number): number => Math.abs(value) * 0.0101;
      if (actual < Math.min(low - slack(low), low + slack(low)) || actual > high + slack(high))
        wrong(name, actual, `${low}…${high} ± 1 %`);
    }
  }
  for (const key of expected.keys()) problems.push(`${key}: missing`);
  assert.equal(
    problems.length,
    0,
    `${label}: ${problems.length} of the windows are wrong, for example\n${problems.slice(0, 10).join('\n')}`,
  );
}
