import type { SketchView } from './sketch.ts';
import { PooledSketch, SketchPool } from './sketch-pool.ts';
import type { Figures } from './window.ts';

/** Of the part of a slot that a single reading fills: start, first value, then words. Half a cache line. */
const HEAD_FLOATS = 4;
const HEAD_WORDS = 8;
const FIRST = 1;
const COUNT = 4;
/** Event times count from the start of the window. */
const FIRST_AFTER = 5;
const FLAGS = 6;
const LINK = 7;

/** Of the rest, which means something from the second reading on; a window of one reading has it from the first. */
const TAIL_FLOATS = 6;
const TAIL_WORDS = 12;
const SUM = 0;
const MIN = 1;
const MAX = 2;
const M2 = 3;
const LAST = 4;
const LAST_AFTER = 10;
/** 0: none, as in a pane of one or two readings. */
const SKETCH = 11;

/**
 * Windows being built, 80 bytes each: slots in blocks, for those who keep windows of one series
 * side by side (a reading then touches few cache lines), and single ones. 1 s panes take readings, windows of higher levels take their
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
  private heads = new Float64Array(HEAD_FLOATS << 6);
  private headWords = new Uint32Array(this.heads.buffer);
  private tails = new Float64Array(TAIL_FLOATS << 6);
  private tailWords = new Uint32Array(this.tails.buffer);
  private used = 1;
  private free = 0;

  /** Bytes in use, free slots included; sketches apart. */
  get bytes(): number {
    return this.used * (HEAD_FLOATS + TAIL_FLOATS) * 8;
  }

  /** The first of `n` slots side by side, for good; each must `begin` before it is used. */
  block(n: number): number {
    const first = this.used;
    this.used += n;
    while (this.used * HEAD_FLOATS > this.heads.length) {
      this.heads = twice(this.heads);
      this.headWords = new Uint32Array(this.heads.buffer);
      this.tails = twice(this.tails);
      this.tailWords = new Uint32Array(this.tails.buffer);
    }
    return first;
  }

  /** An empty window in a slot of its own, until `release`. */
  make(start: number): number {
    let window = this.free;
    if (window === 0) window = this.block(1);
    else this.free = this.headWords[window * HEAD_WORDS + LINK] as number;
    this.begin(window, start, 0);
    return window;
  }

  /** Empties a slot. Its sketch keeps its place until a child is taken. */
  begin(window: number, start: number, flags: number): void {
    const at = window * HEAD_WORDS;
    this.heads[window * HEAD_FLOATS] = start;
    this.headWords[at + COUNT] = 0;
    this.headWords[at + LINK] = 0;
    this.headWords[at + FLAGS] = flags;
  }

  /** Gives the sketch back, of a slot in a block that stays. */
  drop(window: number): void {
    const at = window * TAIL_WORDS + SKETCH;
    const sketch = this.tailWords[at] as number;
    if (sketch === 0) return;
    this.sketches.release(sketch);
    this.tailWords[at] = 0;
  }

  release(window: number): void {
    this.drop(window);
    this.headWords[window * HEAD_WORDS + LINK] = this.free;
    this.free = window;
  }

  /** Moves a window of `make` into a slot of a block. */
  move(window: number, into: number): void {
    this.drop(into);
    this.copySlot(window, into);
    this.tailWords[window * TAIL_WORDS + SKETCH] = 0;
    this.release(window);
  }

  copy(window: number): number {
    const made = this.make(0);
    this.copySlot(window, made);
    const at = made * TAIL_WORDS + SKETCH;
    const sketch = this.tailWords[at] as number;
    if (sketch !== 0) this.tailWords[at] = this.sketches.copy(sketch);
    return made;
  }

  private copySlot(from: number, to: number): void {
    const head = from * HEAD_FLOATS;
    const tail = from * TAIL_FLOATS;
    this.heads.copyWithin(to * HEAD_FLOATS, head, head + HEAD_FLOATS);
    this.tails.copyWithin(to * TAIL_FLOATS, tail, tail + TAIL_FLOATS);
  }

  load(figures: Figures): number {
    const window = this.make(figures.start);
    const t = window * TAIL_FLOATS;
    this.heads[window * HEAD_FLOATS + FIRST] = figures.first;
    this.headWords[window * HEAD_WORDS + COUNT] = figures.count;
    this.headWords[window * HEAD_WORDS + FIRST_AFTER] = figures.firstTs - figures.start;
    this.tails[t + SUM] = figures.sum;
    this.tails[t + MIN] = figures.min;
    this.tails[t + MAX] = figures.max;
    this.tails[t + M2] = figures.m2;
    this.tails[t + LAST] = figures.last;
    this.tailWords[window * TAIL_WORDS + LAST_AFTER] = figures.lastTs - figures.start;
    if (figures.sketch !== null)
      this.tailWords[window * TAIL_WORDS + SKETCH] = this.sketches.load(figures.sketch);
    return window;
  }

  start(window: number): number {
    return this.heads[window * HEAD_FLOATS] as number;
  }
  count(window: number): number {
    return this.headWords[window * HEAD_WORDS + COUNT] as number;
  }
  link(window: number): number {
    return this.headWords[window * HEAD_WORDS + LINK] as number;
  }
  setLink(window: number, link: number): void {
    this.headWords[window * HEAD_WORDS + LINK] = link;
  }
  flags(window: number): number {
    return this.headWords[window * HEAD_WORDS + FLAGS] as number;
  }
  setFlags(window: number, flags: number): void {
    this.headWords[window * HEAD_WORDS + FLAGS] = flags;
  }

  /** Adds a reading to a 1 s pane and sets its flags. */
  add(window: number, value: number, ts: number, flags: number): void {
    const { heads, headWords } = this;
    const h = window * HEAD_FLOATS;
    const w = window * HEAD_WORDS;
    const after = ts - (heads[h] as number);
    const n = (headWords[w + COUNT] as number) + 1;
    headWords[w + COUNT] = n;
    headWords[w + FLAGS] = flags;
    if (n === 1) {
      heads[h + FIRST] = value;
      headWords[w + FIRST_AFTER] = after;
    } else {
      if (n === 2) this.spread(window);
      this.addMore(window, n, value, after);
    }
  }

  private addMore(window: number, n: number, value: number, after: number): void {
    const { tails, tailWords } = this;
    const t = window * TAIL_FLOATS;
    const tw = window * TAIL_WORDS;
    const sum = (tails[t + SUM] as number) + value;
    tails[t + SUM] = sum;
    const distance = n * value - sum;
    tails[t + M2] = (tails[t + M2] as number) + (distance * distance) / (n * (n - 1));
    if (n > 2) {
      let sketch = tailWords[tw + SKETCH] as number;
      if (sketch === 0) {
        sketch = this.sketches.add(this.sketches.make(), tails[t + MIN] as number);
        sketch = this.sketches.add(sketch, tails[t + MAX] as number);
      }
      tailWords[tw + SKETCH] = this.sketches.add(sketch, value);
    }
    if (value < (tails[t + MIN] as number)) tails[t + MIN] = value;
    if (value > (tails[t + MAX] as number)) tails[t + MAX] = value;
    const w = window * HEAD_WORDS;
    if (after < (this.headWords[w + FIRST_AFTER] as number)) {
      this.heads[window * HEAD_FLOATS + FIRST] = value;
      this.headWords[w + FIRST_AFTER] = after;
    }
    if (after >= (tailWords[tw + LAST_AFTER] as number)) {
      tails[t + LAST] = value;
      tailWords[tw + LAST_AFTER] = after;
    }
  }

  /** Gives a window of one reading its second part. */
  private spread(window: number): void {
    const { tails } = this;
    const t = window * TAIL_FLOATS;
    const value = this.heads[window * HEAD_FLOATS + FIRST] as number;
    tails[t + SUM] = 0 + value; // -0 becomes 0, as in any sum
    tails[t + MIN] = value;
    tails[t + MAX] = value;
    tails[t + M2] = 0;
    tails[t + LAST] = value;
    this.tailWords[window * TAIL_WORDS + LAST_AFTER] = this.headWords[
      window * HEAD_WORDS + FIRST_AFTER
    ] as number;
  }

  /** Takes a child window into a window of a higher level; children come in start order, none is empty. */
  take(window: number, child: number): void {
    const { heads, headWords, tails, tailWords } = this;
    const h = window * HEAD_FLOATS;
    const w = window * HEAD_WORDS;
    const t = window * TAIL_FLOATS;
    const tw = window * TAIL_WORDS;
    const ct = child * TAIL_FLOATS;
    const a = headWords[w + COUNT] as number;
    const b = headWords[child * HEAD_WORDS + COUNT] as number;
    const between = (heads[child * HEAD_FLOATS] as number) - (heads[h] as number);
    const first = heads[child * HEAD_FLOATS + FIRST] as number;
    const firstAfter = between + (headWords[child * HEAD_WORDS + FIRST_AFTER] as number);
    const one = b === 1;
    const lastAfter = one ? firstAfter : between + (tailWords[child * TAIL_WORDS + LAST_AFTER] as number);
    const sum = one ? 0 + first : (tails[ct + SUM] as number);
    const m2 = one ? 0 : (tails[ct + M2] as number);
    const min = one ? first : (tails[ct + MIN] as number);
    const max = one ? first : (tails[ct + MAX] as number);
    const last = one ? first : (tails[ct + LAST] as number);
    headWords[w + COUNT] = a + b;
    if (a === 0) {
      heads[h + FIRST] = first;
      headWords[w + FIRST_AFTER] = firstAfter;
      tails[t + SUM] = sum;
      tails[t + MIN] = min;
      tails[t + MAX] = max;
      tails[t + M2] = m2;
      tails[t + LAST] = last;
      tailWords[tw + LAST_AFTER] = lastAfter;
    } else {
      const distance = (b / a) * (tails[t + SUM] as number) - sum;
      tails[t + M2] = (tails[t + M2] as number) + (m2 + (a / (b * (a + b))) * distance * distance);
      tails[t + SUM] = (tails[t + SUM] as number) + sum;
      if (min < (tails[t + MIN] as number)) tails[t + MIN] = min;
      if (max > (tails[t + MAX] as number)) tails[t + MAX] = max;
      if (firstAfter < (headWords[w + FIRST_AFTER] as number)) {
        heads[h + FIRST] = first;
        headWords[w + FIRST_AFTER] = firstAfter;
      }
      if (lastAfter >= (tailWords[tw + LAST_AFTER] as number)) {
        tails[t + LAST] = last;
        tailWords[tw + LAST_AFTER] = lastAfter;
      }
    }
    const sketch = this.emptied(tailWords[tw + SKETCH] as number, a);
    // One reading is the child's sketch, and so are two: no need to look whether it has one.
    if (one) tailWords[tw + SKETCH] = this.sketches.add(sketch, first);
    else if (b === 2) tailWords[tw + SKETCH] = this.sketches.add(this.sketches.add(sketch, min), max);
    else
      tailWords[tw + SKETCH] = this.sketches.merge(sketch, tailWords[child * TAIL_WORDS + SKETCH] as number);
  }

  private emptied(sketch: number, count: number): number {
    if (sketch === 0) return this.sketches.make();
    if (count === 0) this.sketches.clear(sketch);
    return sketch;
  }

  /** A reader of slots; set `window` and read. */
  reader(): PooledRow {
    const sketch = new PooledSketch(this.sketches);
    const count = (row: PooledRow): number => this.headWords[row.window * HEAD_WORDS + COUNT] as number;
    const first = (row: PooledRow): number => this.heads[row.window * HEAD_FLOATS + FIRST] as number;
    const start = (row: PooledRow): number => this.heads[row.window * HEAD_FLOATS] as number;
    const after = (row: PooledRow): number => this.headWords[row.window * HEAD_WORDS + FIRST_AFTER] as number;
    const tail = (row: PooledRow, field: number): number =>
      this.tails[row.window * TAIL_FLOATS + field] as number;
    const tailWord = (row: PooledRow, field: number): number =>
      this.tailWords[row.window * TAIL_WORDS + field] as number;
    return {
      window: 0,
      get start() {
        return start(this);
      },
      get count() {
        return count(this);
      },
      get sum() {
        return count(this) === 1 ? 0 + first(this) : tail(this, SUM);
      },
      get min() {
        return count(this) === 1 ? first(this) : tail(this, MIN);
      },
      get max() {
        return count(this) === 1 ? first(this) : tail(this, MAX);
      },
      get m2() {
        return count(this) === 1 ? 0 : tail(this, M2);
      },
      get first() {
        return first(this);
      },
      get firstTs() {
        return start(this) + after(this);
      },
      get last() {
        return count(this) === 1 ? first(this) : tail(this, LAST);
      },
      get lastTs() {
        return start(this) + (count(this) === 1 ? after(this) : tailWord(this, LAST_AFTER));
      },
      get sketch(): SketchView | null {
        sketch.sketch = tailWord(this, SKETCH);
        return sketch.sketch === 0 ? null : sketch;
      },
    };
  }
}

function twice(floats: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const next = new Float64Array(floats.length * 2);
  next.set(floats);
  return next;
}

/** The figures of the slot `window`. */
export interface PooledRow extends Figures {
  window: number;
}
