import { Sketch, type SketchView } from './sketch.ts';
import { type Figures, meanOf } from './window.ts';

/**
 * Views of one series: figures that no table holds, computed from stored windows ("panes") of one level. Where there is
 * no reading a figure is null, never zero.
 */

export interface HoppingOptions {
  /** Length of the panes, milliseconds. */
  readonly paneMs: number;
  /** Length of a window, a multiple of `paneMs`. */
  readonly sizeMs: number;
  /** From one window's start to the next, a multiple of `paneMs`; windows start at multiples of it since the epoch. */
  readonly hopMs: number;
  /** Windows that start here or later, epoch milliseconds. */
  readonly from: number;
  /** Windows that start before this. */
  readonly to: number;
}

export interface HoppingWindow {
  readonly start: number;
  /** Null when the window holds no reading. */
  readonly figures: Figures | null;
}

/**
 * Hopping windows (`hopMs` = `paneMs`: sliding ones) of panes in start order; panes outside of [from, to + sizeMs) are
 * not needed.
 *
 * The time line is cut into blocks of a window's length at multiples of it. Each window is the end of one block merged
 * with the beginning of the next, and both come from running merges: three merges for each pane, however long the
 * window. Because the cuts are at fixed times, floating-point sums do not depend on `from` and `to`.
 * Source: M. van Herk, "A Fast Algorithm for Local Minimum and Maximum Filters", Pattern Recognition Letters 13(7),
 * 1992; J. Gil, M. Werman, "Computing 2-D Min, Median, and Max Filters", IEEE PAMI 15(5), 1993.
 * @throws RangeError when the lengths do not divide
 */
export function* hoppingWindows(
  panes: Iterable<Figures>,
  { paneMs, sizeMs, hopMs, from, to }: HoppingOptions,
): Generator<HoppingWindow> {
  for (const [name, value] of Object.entries({ sizeMs, hopMs })) {
    if (!(value > 0 && value % paneMs === 0))
      throw new RangeError(`${name} is ${value}, which panes of ${paneMs} ms do not divide`);
  }
  const source = panes[Symbol.iterator]();
  const length = sizeMs / paneMs;
  let next = source.next();
  /** The panes of the block that begins at `start`; blocks come in order. */
  const blockAt = (start: number): (Figures | null)[] => {
    const block = new Array<Figures | null>(length).fill(null);
    while (next.done !== true && next.value.start < start) next = source.next();
    while (next.done !== true && next.value.start < start + sizeMs) {
      block[(next.value.start - start) / paneMs] = next.value;
      next = source.next();
    }
    return block;
  };

  let start = Math.ceil(from / hopMs) * hopMs;
  let blockStart = Math.floor(start / sizeMs) * sizeMs;
  let current = start < to ? blockAt(blockStart) : [];
  while (start < to) {
    const following = blockAt(blockStart + sizeMs);
    const ends = [...current];
    for (let i = length - 2; i >= 0; i--) ends[i] = mergeFigures(ends[i] ?? null, ends[i + 1] ?? null);
    const beginnings = [...following];
    for (let i = 1; i < length; i++)
      beginnings[i] = mergeFigures(beginnings[i - 1] ?? null, beginnings[i] ?? null);
    for (; start < to && start < blockStart + sizeMs; start += hopMs) {
      const cut = (start - blockStart) / paneMs;
      // A window that is a block is merged forwards, as a stored row is from its children.
      const figures =
        cut === 0 ? merged(current) : mergeFigures(ends[cut] ?? null, beginnings[cut - 1] ?? null);
      yield { start, figures: figures === null ? null : { ...figures, start, sketch: sketchOf(figures) } };
    }
    // A hop longer than a window leaves blocks out.
    const reached = Math.floor(start / sizeMs) * sizeMs;
    current = reached === blockStart + sizeMs ? following : start < to ? blockAt(reached) : [];
    blockStart = reached;
  }
}

function merged(parts: readonly (Figures | null)[]): Figures | null {
  return parts.reduce<Figures | null>((all, part) => mergeFigures(all, part), null);
}

/**
 * Figures of two stretches of one series, the earlier one first. Counts, extremes, first, last and sketches are exact;
 * sum and m2 are rounded as in the merge of stored windows (`WindowPool.take`).
 */
export function mergeFigures(a: Figures | null, b: Figures | null): Figures | null {
  if (a === null) return b;
  if (b === null) return a;
  const distance = (b.count / a.count) * a.sum - b.sum;
  const weight = a.count / (b.count * (a.count + b.count));
  const firstOfA = a.firstTs <= b.firstTs;
  const lastOfA = a.lastTs > b.lastTs;
  const sketch = new Sketch();
  sketch.merge(sketchOf(a));
  sketch.merge(sketchOf(b));
  return {
    start: a.start,
    count: a.count + b.count,
    sum: a.sum + b.sum,
    // Of 0 and -0 the first one stays, as in the pool; `Math.min` has them in an order.
    min: b.min < a.min ? b.min : a.min,
    max: b.max > a.max ? b.max : a.max,
    m2: a.m2 + (b.m2 + weight * distance * distance),
    first: firstOfA ? a.first : b.first,
    firstTs: firstOfA ? a.firstTs : b.firstTs,
    last: lastOfA ? a.last : b.last,
    lastTs: lastOfA ? a.lastTs : b.lastTs,
    sketch,
  };
}

/** Panes of one or two readings have none. */
function sketchOf(part: Figures): SketchView {
  if (part.sketch !== null) return part.sketch;
  const sketch = new Sketch();
  sketch.add(part.min);
  if (part.count === 2) sketch.add(part.max);
  return sketch;
}

/**
 * Change of a window per second: from its first reading to its last, over the time between them. Null when it has no
 * two readings at different times. A counter that began again counts as a fall.
 */
export function ratePerSecond(window: Figures): number | null {
  const seconds = (window.lastTs - window.firstTs) / 1_000;
  if (seconds <= 0) return null;
  const rate = (window.last - window.first) / seconds;
  return Number.isFinite(rate) ? rate : null;
}

/** Readings of a window per second of its length. */
export function eventsPerSecond(window: Figures, sizeMs: number): number {
  return window.count / (sizeMs / 1_000);
}

/** Weight, after this many half-lives, of what an average knew before: 2^-40, less than is printed. */
export const EWMA_MEMORY = 40;

/**
 * Exponentially weighted moving average of values at irregular times: what was known keeps the weight
 * 2^(-Δt / halfLife), the new value has the rest, so that a gap makes the past count less. The first value is the first
 * average.
 * Source: G. Zumbach, U. Müller, "Operators on Inhomogeneous Time Series", International Journal of Theoretical and
 * Applied Finance 4(1), 2001 (next-point interpolation); A. Eckner, "Algorithms for Unevenly Spaced Time Series: Moving Averages and
 * Other Rolling Operators", 2012.
 */
export class Ewma {
  private readonly halfLifeMs: number;
  private ts = Number.NaN;
  private average = 0;

  /** @param halfLifeMs > 0 */
  constructor(halfLifeMs: number) {
    this.halfLifeMs = halfLifeMs;
  }

  /**
   * The average with this value. One that is not newer than the last counts as being of the same time: it changes
   * nothing.
   */
  add(ts: number, value: number): number {
    if (Number.isNaN(this.ts)) this.average = value;
    else if (ts > this.ts) {
      const kept = 2 ** ((this.ts - ts) / this.halfLifeMs);
      this.average = kept * this.average + (1 - kept) * value;
    }
    this.ts = Number.isNaN(this.ts) ? ts : Math.max(this.ts, ts);
    return this.average;
  }
}

/** EWMA of the means of panes, each at the time of its last reading. */
export function* ewmaOf(
  panes: Iterable<Figures>,
  halfLifeMs: number,
): Generator<{ readonly start: number; readonly value: number }> {
  const average = new Ewma(halfLifeMs);
  for (const pane of panes) yield { start: pane.start, value: average.add(pane.lastTs, meanOf(pane)) };
}
