import { Sketch, type SketchView } from './sketch.ts';

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

/**
 * A window being built. 1 s panes take readings, windows of higher levels take their children in start order; both are
 * deterministic, so the same readings in the same order give the same bits.
 *
 * Variance keeps (count, sum, m2) and no running mean, so that a row restores the state exactly: updates by
 * E. A. Youngs, E. M. Cramer, "Some Results Relevant to Choice of Sum and Sum-of-Product Algorithms", Technometrics
 * 13(3), 1971; merges by T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance",
 * The American Statistician 37(3), 1983, formula 2.1.
 */
export class Window implements Figures {
  readonly start: number;
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  m2 = 0;
  first = 0;
  firstTs = Number.POSITIVE_INFINITY;
  last = 0;
  lastTs = Number.NEGATIVE_INFINITY;
  sketch: Sketch | null = null;
  /** A row of this window was handed out for writing. */
  written = false;
  /** Changed (pane), or a child changed (higher level), since its row was handed out. */
  stale = false;
  /** The row as it was last handed out or stored; levels above 0. */
  previous: Figures | null = null;

  constructor(start: number) {
    this.start = start;
  }

  /** Adds a reading to a 1 s pane. */
  add(value: number, ts: number): void {
    const n = this.count + 1;
    this.sum += value;
    if (n > 1) {
      const distance = n * value - this.sum;
      this.m2 += (distance * distance) / (n * (n - 1));
    }
    if (n > 2) {
      if (this.sketch === null) {
        this.sketch = new Sketch();
        this.sketch.add(this.min);
        this.sketch.add(this.max);
      }
      this.sketch.add(value);
    }
    this.count = n;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    if (ts < this.firstTs) {
      this.first = value;
      this.firstTs = ts;
    }
    if (ts >= this.lastTs) {
      this.last = value;
      this.lastTs = ts;
    }
  }

  /** Forgets the figures, so that the children can be taken again. */
  clear(): void {
    this.count = 0;
    this.sum = 0;
    this.m2 = 0;
    this.min = this.firstTs = Number.POSITIVE_INFINITY;
    this.max = this.lastTs = Number.NEGATIVE_INFINITY;
    this.sketch = null;
  }

  /** Takes a child window; children come in start order. */
  take(child: Figures): void {
    const a = this.count;
    const b = child.count;
    if (b === 0) return;
    if (a === 0) {
      this.m2 = child.m2;
    } else {
      const distance = (b / a) * this.sum - child.sum;
      this.m2 += child.m2 + (a / (b * (a + b))) * distance * distance;
    }
    this.count = a + b;
    this.sum += child.sum;
    if (child.min < this.min) this.min = child.min;
    if (child.max > this.max) this.max = child.max;
    if (child.firstTs < this.firstTs) {
      this.first = child.first;
      this.firstTs = child.firstTs;
    }
    if (child.lastTs >= this.lastTs) {
      this.last = child.last;
      this.lastTs = child.lastTs;
    }
    this.sketch ??= new Sketch();
    if (child.sketch !== null) this.sketch.merge(child.sketch);
    else {
      this.sketch.add(child.min);
      if (b === 2) this.sketch.add(child.max);
    }
  }

  snapshot(): Figures {
    const { start, count, sum, min, max, m2, first, firstTs, last, lastTs, sketch } = this;
    return { start, count, sum, min, max, m2, first, firstTs, last, lastTs, sketch };
  }

  static restore(figures: Figures): Window {
    const window = new Window(figures.start);
    window.count = figures.count;
    window.sum = figures.sum;
    window.min = figures.min;
    window.max = figures.max;
    window.m2 = figures.m2;
    window.first = figures.first;
    window.firstTs = figures.firstTs;
    window.last = figures.last;
    window.lastTs = figures.lastTs;
    window.sketch = figures.sketch === null ? null : Sketch.decode(figures.sketch.encode());
    window.written = true;
    window.previous = figures;
    return window;
  }
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
