import type { SketchView } from './sketch.ts';

/** The figures of one window, as a row holds them. */
export interface Figures {
  /** Start, epoch milliseconds. */
  readonly start: number;
  readonly count: number;
  /** ±Infinity when it overflows a 64-bit float. */
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** Sum of squared distances from the mean. */
  readonly m2: number;
  /** By event time; of equal times the first in the log. */
  readonly first: number;
  readonly firstTs: number;
  /** By event time; of equal times the last in the log. */
  readonly last: number;
  readonly lastTs: number;
  /** Null in a 1 s pane of one or two readings, whose values are `min` and `max`. */
  readonly sketch: SketchView | null;
}

/** The quantile of a window above level 1s, within 1 % and never outside [min, max]. */
export function quantileOf(window: Figures, q: number): number {
  const value = window.sketch?.quantile(q) ?? Number.NaN;
  return Math.min(window.max, Math.max(window.min, value));
}

export function meanOf(window: { readonly count: number; readonly sum: number }): number {
  return window.sum / window.count;
}

/** Sample standard deviation (n - 1), as SQL's `stddev`; NaN for a single reading. */
export function stddevOf(window: { readonly count: number; readonly m2: number }): number {
  return Math.sqrt(window.m2 / (window.count - 1));
}
