import type { Piece } from '@weir/connect-timescale';
import { alignDown, LEVEL_MS } from '@weir/windows';

const DAY_MS = 86_400_000;
/** Lengths of a point that fit into an hour or a day, so that points lie at the same times whatever the range. */
const STEPS_MS = [1, 2, 5, 10, 20, 30, 60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200].map(
  (seconds) => seconds * 1_000,
);

/** What is known of the stored windows. Epoch milliseconds. */
export interface Held {
  /** Windows that end at or before it are stored at every level; -Infinity: of none it is sure. */
  readonly watermark: number;
  /** By level: windows that start before are expired. */
  readonly expiredBefore: readonly number[];
}

/** A stretch of the range; `level` is null where the windows of every level are expired. */
export interface PlannedStretch extends Omit<Piece, 'level' | 'merged'> {
  readonly level: number | null;
}

/** One point of the answer: [start, end). */
export interface Cell {
  readonly start: number;
  readonly end: number;
}

/** The shortest length of a point, milliseconds, of which at most `points` cover `rangeMs`. */
export function stepFor(rangeMs: number, points: number): number {
  const least = rangeMs / points;
  return STEPS_MS.find((step) => step >= least) ?? Math.ceil(least / DAY_MS) * DAY_MS;
}

/**
 * Covers [from, to) with windows, the coarsest that a point of `stepMs` can be merged from, and finer ones where a
 * coarse one would reach over an end of the range or past the watermark, where it is not stored yet. Where the finer
 * ones are expired the finest there are take their place, and may begin before `from` or end after `to`.
 * The stretches follow each other without a gap.
 * @param from, to whole seconds
 */
export function planStretches(from: number, to: number, stepMs: number, held: Held): PlannedStretch[] {
  const coarsest = LEVEL_MS.findLastIndex((size) => stepMs % size === 0);
  const there = (level: number, at: number): boolean => (held.expiredBefore[level] as number) <= at;
  const stretches: PlannedStretch[] = [];
  const add = (level: number | null, start: number, end: number): number => {
    const last = stretches.at(-1);
    if (last !== undefined && last.level === level) stretches[stretches.length - 1] = { ...last, to: end };
    else stretches.push({ level, from: start, to: end });
    return end;
  };
  for (let at = from; at < to; ) {
    let level = coarsest;
    const fits = (): boolean => {
      const size = LEVEL_MS[level] as number;
      return there(level, at) && at % size === 0 && at + size <= Math.min(to, held.watermark);
    };
    while (level > 0 && !fits()) level--;
    if (there(level, at)) {
      const size = LEVEL_MS[level] as number;
      // Many windows at once where no other level comes in question until the end of the run.
      let end = at + size;
      if (end > held.watermark) end = to;
      else if (level === coarsest) end = alignDown(Math.min(to, held.watermark), size);
      at = add(level, at, end);
      continue;
    }
    const finest = LEVEL_MS.findIndex((size, i) => there(i, alignDown(at, size)) || there(i, at));
    if (finest < 0) {
      at = add(null, at, Math.min(to, Math.min(...held.expiredBefore)));
      continue;
    }
    const size = LEVEL_MS[finest] as number;
    const start = alignDown(at, size);
    const before = stretches.at(-1);
    if (start < at && (before !== undefined || !there(finest, start))) {
      at = add(null, at, Math.min(to, start + size));
      continue;
    }
    at = add(finest, start, start + size);
  }
  return stretches;
}

/** The points over these stretches: `stepMs` long and aligned to it, shorter at the ends, longer where windows are. */
export function cellsOf(stretches: readonly PlannedStretch[], stepMs: number): Cell[] {
  const cells: Cell[] = [];
  const end = stretches.at(-1)?.to ?? 0;
  let at = stretches[0]?.from ?? 0;
  for (const { level, to } of stretches) {
    const size = level === null ? 0 : (LEVEL_MS[level] as number);
    while (at < to) {
      const next = size > stepMs ? at + size : alignDown(at, stepMs) + stepMs;
      const stop = level === null ? Math.min(next, to) : Math.min(next, end);
      cells.push({ start: at, end: stop });
      at = stop;
    }
  }
  return cells;
}

/** What to read for these stretches. */
export function piecesOf(stretches: readonly PlannedStretch[], stepMs: number): Piece[] {
  return stretches.flatMap(({ level, from, to }) =>
    level === null ? [] : [{ level, from, to, merged: (LEVEL_MS[level] as number) < stepMs }],
  );
}
