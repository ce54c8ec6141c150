import type { SketchView } from './sketch.ts';
import { PooledSketch, SketchPool } from './sketch-pool.ts';
import type { Figures } from './window.ts';

/** A slot is ten 64-bit words: seven floats, then six unsigned integers. */
const FLOATS = 10;
const WORDS = 20;
const SUM = 1;
const MIN = 2;
const MAX = 3;
const M2 = 4;
const FIRST = 5;
const LAST = 6;
const COUNT = 14;
/** Event times count from the start of the window. */
const FIRST_AFTER = 15;
const LAST_AFTER = 16;
const SKETCH = 17;
const LINK = 18;
const FLAGS = 19;

/**
 * Windows being built, in one array of 80 bytes a window. 1 s panes take readings, windows of higher levels take their
 * children in start order; both are deterministic, so the same readings in the same order give the same bits. A window
 * is the index of its slot; 0 is none.
 *
 * Variance keeps (count, sum, m2) and no running mean, so that a row restores the state exactly: updates by
 * E. A. Youngs, E. M. Cramer, "Some Results Relevant to Choice of Sum and Sum-of-Product Algorithms", Technometrics
 * 13(3), 1971; merges by T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance",
 * The American Statistician 37(3), 1983, formula 2.1.
 */
export class WindowPool {
  readonly sketches = new SketchPool();
  private floats = new Float64Array(FLOATS << 6);
  private words = new Uint32Array(this.floats.buffer);
  private used = 1;
  private free = 0;

  /** Bytes in use, free slots included; sketches apart. */
  get bytes(): number {
    return this.used * FLOATS * 8;
  }

  make(start: number): number {
    let window = this.free;
    if (window !== 0) {
      this.free = this.words[window * WORDS + LINK] as number;
    } else {
      window = this.used++;
      if (this.used * FLOATS > this.floats.length) {
        const next = new Float64Array(this.floats.length * 2);
        next.set(this.floats);
        this.floats = next;
        this.words = new Uint32Array(next.buffer);
      }
    }
    const { words } = this;
    const at = window * WORDS;
    this.floats[window * FLOATS] = start;
    words[at + COUNT] = 0;
    words[at + SKETCH] = 0;
    words[at + LINK] = 0;
    words[at + FLAGS] = 0;
    return window;
  }

  release(window: number): void {
    const at = window * WORDS;
    const sketch = this.words[at + SKETCH] as number;
    if (sketch !== 0) this.sketches.release(sketch);
    this.words[at + LINK] = this.free;
    this.free = window;
  }

  copy(window: number): number {
    const made = this.make(0);
    this.floats.copyWithin(made * FLOATS, window * FLOATS, window * FLOATS + FLOATS);
    const at = made * WORDS + SKETCH;
    const sketch = this.words[at] as number;
    if (sketch !== 0) this.words[at] = this.sketches.copy(sketch);
    return made;
  }

  load(figures: Figures): number {
    const window = this.make(figures.start);
    const { floats, words } = this;
    const f = window * FLOATS;
    floats[f + SUM] = figures.sum;
    floats[f + MIN] = figures.min;
    floats[f + MAX] = figures.max;
    floats[f + M2] = figures.m2;
    floats[f + FIRST] = figures.first;
    floats[f + LAST] = figures.last;
    const w = window * WORDS;
    words[w + COUNT] = figures.count;
    words[w + FIRST_AFTER] = figures.firstTs - figures.start;
    words[w + LAST_AFTER] = figures.lastTs - figures.start;
    if (figures.sketch !== null) words[w + SKETCH] = this.sketches.load(figures.sketch);
    return window;
  }

  start(window: number): number {
    return this.floats[window * FLOATS] as number;
  }
  count(window: number): number {
    return this.words[window * WORDS + COUNT] as number;
  }
  link(window: number): number {
    return this.words[window * WORDS + LINK] as number;
  }
  setLink(window: number, link: number): void {
    this.words[window * WORDS + LINK] = link;
  }
  flags(window: number): number {
    return this.words[window * WORDS + FLAGS] as number;
  }
  setFlags(window: number, flags: number): void {
    this.words[window * WORDS + FLAGS] = flags;
  }

  /** Adds a reading to a 1 s pane and sets its flags. */
  add(window: number, value: number, ts: number, flags: number): void {
    const { floats, words } = this;
    const f = window * FLOATS;
    const w = window * WORDS;
    const after = ts - (floats[f] as number);
    const n = (words[w + COUNT] as number) + 1;
    words[w + COUNT] = n;
    words[w + FLAGS] = flags;
    if (n === 1) {
      floats[f + SUM] = 0 + value; // -0 becomes 0, as in any sum
      floats[f + MIN] = value;
      floats[f + MAX] = value;
      floats[f + M2] = 0;
      floats[f + FIRST] = value;
      floats[f + LAST] = value;
      words[w + FIRST_AFTER] = after;
      words[w + LAST_AFTER] = after;
      return;
    }
    const sum = (floats[f + SUM] as number) + value;
    floats[f + SUM] = sum;
    const distance = n * value - sum;
    floats[f + M2] = (floats[f + M2] as number) + (distance * distance) / (n * (n - 1));
    if (n > 2) {
      let sketch = words[w + SKETCH] as number;
      if (sketch === 0) {
        sketch = this.sketches.add(this.sketches.make(), floats[f + MIN] as number);
        sketch = this.sketches.add(sketch, floats[f + MAX] as number);
      }
      words[w + SKETCH] = this.sketches.add(sketch, value);
    }
    if (value < (floats[f + MIN] as number)) floats[f + MIN] = value;
    if (value > (floats[f + MAX] as number)) floats[f + MAX] = value;
    if (after < (words[w + FIRST_AFTER] as number)) {
      floats[f + FIRST] = value;
      words[w + FIRST_AFTER] = after;
    }
    if (after >= (words[w + LAST_AFTER] as number)) {
      floats[f + LAST] = value;
      words[w + LAST_AFTER] = after;
    }
  }

  /** Takes a child window into a window of a higher level; children come in start order, none is empty. */
  take(window: number, child: number): void {
    const { floats, words, sketches } = this;
    const f = window * FLOATS;
    const w = window * WORDS;
    const cf = child * FLOATS;
    const cw = child * WORDS;
    const a = words[w + COUNT] as number;
    const b = words[cw + COUNT] as number;
    const between = (floats[cf] as number) - (floats[f] as number);
    const firstAfter = between + (words[cw + FIRST_AFTER] as number);
    const lastAfter = between + (words[cw + LAST_AFTER] as number);
    const sum = floats[cf + SUM] as number;
    words[w + COUNT] = a + b;
    if (a === 0) {
      floats.copyWithin(f + SUM, cf + SUM, cf + LAST + 1);
      words[w + FIRST_AFTER] = firstAfter;
      words[w + LAST_AFTER] = lastAfter;
    } else {
      const distance = (b / a) * (floats[f + SUM] as number) - sum;
      floats[f + M2] =
        (floats[f + M2] as number) +
        ((floats[cf + M2] as number) + (a / (b * (a + b))) * distance * distance);
      floats[f + SUM] = (floats[f + SUM] as number) + sum;
      if ((floats[cf + MIN] as number) < (floats[f + MIN] as number))
        floats[f + MIN] = floats[cf + MIN] as number;
      if ((floats[cf + MAX] as number) > (floats[f + MAX] as number))
        floats[f + MAX] = floats[cf + MAX] as number;
      if (firstAfter < (words[w + FIRST_AFTER] as number)) {
        floats[f + FIRST] = floats[cf + FIRST] as number;
        words[w + FIRST_AFTER] = firstAfter;
      }
      if (lastAfter >= (words[w + LAST_AFTER] as number)) {
        floats[f + LAST] = floats[cf + LAST] as number;
        words[w + LAST_AFTER] = lastAfter;
      }
    }
    const theirs = words[cw + SKETCH] as number;
    let sketch = words[w + SKETCH] as number;
    if (theirs !== 0) {
      sketch = sketch === 0 ? sketches.copy(theirs) : sketches.merge(sketch, theirs);
    } else {
      if (sketch === 0) sketch = sketches.make();
      sketch = sketches.add(sketch, floats[cf + MIN] as number);
      if (b === 2) sketch = sketches.add(sketch, floats[cf + MAX] as number);
    }
    words[w + SKETCH] = sketch;
  }

  /** A reader of slots; set `window` and read. */
  reader(): PooledRow {
    const sketch = new PooledSketch(this.sketches);
    const float = (row: PooledRow, field: number): number =>
      this.floats[row.window * FLOATS + field] as number;
    const word = (row: PooledRow, field: number): number => this.words[row.window * WORDS + field] as number;
    return {
      window: 0,
      get start() {
        return float(this, 0);
      },
      get count() {
        return word(this, COUNT);
      },
      get sum() {
        return float(this, SUM);
      },
      get min() {
        return float(this, MIN);
      },
      get max() {
        return float(this, MAX);
      },
      get m2() {
        return float(this, M2);
      },
      get first() {
        return float(this, FIRST);
      },
      get firstTs() {
        return float(this, 0) + word(this, FIRST_AFTER);
      },
      get last() {
        return float(this, LAST);
      },
      get lastTs() {
        return float(this, 0) + word(this, LAST_AFTER);
      },
      get sketch(): SketchView | null {
        sketch.sketch = word(this, SKETCH);
        return sketch.sketch === 0 ? null : sketch;
      },
    };
  }
}

/** The figures of the slot `window`. */
export interface PooledRow extends Figures {
  window: number;
}
