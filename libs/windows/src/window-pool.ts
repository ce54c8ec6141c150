import { grown } from './columns.ts';
import type { SketchView } from './sketch.ts';
import { PooledSketch, SketchPool } from './sketch-pool.ts';
import type { Figures } from './window.ts';

/** Of a slot: start, first value, then words. Half a cache line, and all that a single reading needs. */
const HEAD_FLOATS = 4;
const HEAD_WORDS = 8;
const FIRST = 1;
const COUNT = 4;
/** Event times count from the start of the window. */
const FIRST_AFTER = 5;
/** The caller's flags, and above them the tail; 0: none. */
const STATE = 6;
const LINK = 7;
const FLAG_BITS = 3;
const FLAG_MASK = (1 << FLAG_BITS) - 1;

/** Of a tail, which means something from the second reading on; in a window that took children, from the first. */
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
/** Of a free tail: the next one. */
const NEXT_FREE = 0;

/**
 * Windows being built: slots of 32 bytes, in blocks for those who keep windows of one series side by side (a reading
 * then touches few cache lines), and single ones. What a single reading does not need is in tails of 48 bytes, made when
 * they are. 1 s panes take readings, windows of higher levels take their children in start order; both are
 * deterministic, so the same readings in the same order give the same bits. A window is the index of its slot; 0 is none.
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
  private usedTails = 1;
  private freeTail = 0;
  private readonly values = new Float64Array(64);

  /** Bytes in use, free slots included; sketches apart. */
  get bytes(): number {
    return (this.used * HEAD_FLOATS + this.usedTails * TAIL_FLOATS) * 8;
  }

  /**
   * The first of `n` slots side by side, for good; each must `begin` before it is used.
   * @param parents how many of the last of them will take children
   */
  block(n: number, parents: number): number {
    const first = this.used;
    this.used += n;
    if (this.used * HEAD_FLOATS > this.heads.length) {
      this.heads = grown(this.heads, this.used * HEAD_FLOATS);
      this.headWords = new Uint32Array(this.heads.buffer);
    }
    for (let window = this.used - parents; window < this.used; window++) this.tailOf(window);
    return first;
  }

  /** The tail of a window; made when it has none. */
  private tailOf(window: number): number {
    const at = window * HEAD_WORDS + STATE;
    const state = this.headWords[at] as number;
    let tail = state >>> FLAG_BITS;
    if (tail !== 0) return tail;
    tail = this.freeTail;
    if (tail === 0) {
      tail = this.usedTails++;
      if (this.usedTails * TAIL_FLOATS > this.tails.length) {
        this.tails = grown(this.tails, this.usedTails * TAIL_FLOATS);
        this.tailWords = new Uint32Array(this.tails.buffer);
      }
    } else {
      this.freeTail = this.tailWords[tail * TAIL_WORDS + NEXT_FREE] as number;
    }
    this.tailWords[tail * TAIL_WORDS + SKETCH] = 0;
    this.headWords[at] = state | (tail << FLAG_BITS);
    return tail;
  }

  /** An empty window in a slot of its own, until `release`. */
  make(start: number): number {
    let window = this.free;
    if (window === 0) window = this.block(1, 0);
    else this.free = this.headWords[window * HEAD_WORDS + LINK] as number;
    this.begin(window, start, 0);
    return window;
  }

  /** Empties a slot. Its tail and sketch keep their places. */
  begin(window: number, start: number, flags: number): void {
    const at = window * HEAD_WORDS;
    this.heads[window * HEAD_FLOATS] = start;
    this.headWords[at + COUNT] = 0;
    this.headWords[at + LINK] = 0;
    this.headWords[at + STATE] = ((this.headWords[at + STATE] as number) & ~FLAG_MASK) | flags;
  }

  /** Gives tail and sketch back, of a slot in a block that stays. */
  drop(window: number): void {
    const at = window * HEAD_WORDS + STATE;
    const tail = (this.headWords[at] as number) >>> FLAG_BITS;
    if (tail === 0) return;
    this.headWords[at] = (this.headWords[at] as number) & FLAG_MASK;
    const sketch = this.tailWords[tail * TAIL_WORDS + SKETCH] as number;
    if (sketch !== 0) this.sketches.release(sketch);
    this.tailWords[tail * TAIL_WORDS + NEXT_FREE] = this.freeTail;
    this.freeTail = tail;
  }

  release(window: number): void {
    this.drop(window);
    this.headWords[window * HEAD_WORDS + LINK] = this.free;
    this.free = window;
  }

  /** Moves a window of `make` into a slot of a block. */
  move(window: number, into: number): void {
    this.drop(into);
    this.copyHead(window, into);
    this.headWords[window * HEAD_WORDS + STATE] = 0;
    this.release(window);
  }

  copy(window: number): number {
    const made = this.make(0);
    this.copyHead(window, made);
    const at = made * HEAD_WORDS + STATE;
    const state = this.headWords[at] as number;
    const tail = state >>> FLAG_BITS;
    if (tail === 0) return made;
    this.headWords[at] = state & FLAG_MASK;
    const own = this.tailOf(made);
    this.tails.copyWithin(own * TAIL_FLOATS, tail * TAIL_FLOATS, (tail + 1) * TAIL_FLOATS);
    const sketch = this.tailWords[own * TAIL_WORDS + SKETCH] as number;
    if (sketch !== 0) this.tailWords[own * TAIL_WORDS + SKETCH] = this.sketches.copy(sketch);
    return made;
  }

  private copyHead(from: number, to: number): void {
    const head = from * HEAD_FLOATS;
    this.heads.copyWithin(to * HEAD_FLOATS, head, head + HEAD_FLOATS);
  }

  load(figures: Figures): number {
    const window = this.make(figures.start);
    this.heads[window * HEAD_FLOATS + FIRST] = figures.first;
    this.headWords[window * HEAD_WORDS + COUNT] = figures.count;
    this.headWords[window * HEAD_WORDS + FIRST_AFTER] = figures.firstTs - figures.start;
    if (figures.count === 1 && figures.sketch === null) return window;
    const tail = this.tailOf(window);
    const t = tail * TAIL_FLOATS;
    this.tails[t + SUM] = figures.sum;
    this.tails[t + MIN] = figures.min;
    this.tails[t + MAX] = figures.max;
    this.tails[t + M2] = figures.m2;
    this.tails[t + LAST] = figures.last;
    this.tailWords[tail * TAIL_WORDS + LAST_AFTER] = figures.lastTs - figures.start;
    if (figures.sketch !== null)
      this.tailWords[tail * TAIL_WORDS + SKETCH] = this.sketches.load(figures.sketch);
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
    return (this.headWords[window * HEAD_WORDS + STATE] as number) & FLAG_MASK;
  }
  /** @param flags three bits */
  setFlags(window: number, flags: number): void {
    const at = window * HEAD_WORDS + STATE;
    this.headWords[at] = ((this.headWords[at] as number) & ~FLAG_MASK) | flags;
  }

  /** Adds a reading to a 1 s pane. */
  add(window: number, value: number, ts: number): void {
    const { heads, headWords } = this;
    const h = window * HEAD_FLOATS;
    const w = window * HEAD_WORDS;
    const after = ts - (heads[h] as number);
    const n = (headWords[w + COUNT] as number) + 1;
    headWords[w + COUNT] = n;
    if (n === 1) {
      heads[h + FIRST] = value;
      headWords[w + FIRST_AFTER] = after;
    } else {
      if (n === 2) this.spread(window);
      this.addMore(window, n, value, after);
    }
  }

  private addMore(window: number, n: number, value: number, after: number): void {
    const tail = this.tailOf(window);
    const { tails, tailWords } = this;
    const t = tail * TAIL_FLOATS;
    const tw = tail * TAIL_WORDS;
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

  /** Gives a window of one reading its tail. */
  private spread(window: number): void {
    const tail = this.tailOf(window);
    const { tails } = this;
    const t = tail * TAIL_FLOATS;
    const value = this.heads[window * HEAD_FLOATS + FIRST] as number;
    tails[t + SUM] = 0 + value; // -0 becomes 0, as in any sum
    tails[t + MIN] = value;
    tails[t + MAX] = value;
    tails[t + M2] = 0;
    tails[t + LAST] = value;
    this.tailWords[tail * TAIL_WORDS + LAST_AFTER] = this.headWords[
      window * HEAD_WORDS + FIRST_AFTER
    ] as number;
  }

  /** Takes a child window into a window of a higher level; children come in start order, none is empty. */
  take(window: number, child: number): void {
    const tail = this.tailOf(window);
    const { heads, headWords, tails, tailWords } = this;
    const h = window * HEAD_FLOATS;
    const w = window * HEAD_WORDS;
    const t = tail * TAIL_FLOATS;
    const tw = tail * TAIL_WORDS;
    const childTail = (headWords[child * HEAD_WORDS + STATE] as number) >>> FLAG_BITS;
    const ct = childTail * TAIL_FLOATS;
    const a = headWords[w + COUNT] as number;
    const b = headWords[child * HEAD_WORDS + COUNT] as number;
    const between = (heads[child * HEAD_FLOATS] as number) - (heads[h] as number);
    const first = heads[child * HEAD_FLOATS + FIRST] as number;
    const firstAfter = between + (headWords[child * HEAD_WORDS + FIRST_AFTER] as number);
    const one = b === 1;
    const lastAfter = one ? firstAfter : between + (tailWords[childTail * TAIL_WORDS + LAST_AFTER] as number);
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
      tailWords[tw + SKETCH] = this.sketches.merge(
        sketch,
        tailWords[childTail * TAIL_WORDS + SKETCH] as number,
      );
  }

  /**
   * Takes children into an empty window, as `take` of one after the other does, bit for bit. At most 64 children.
   * @param children those from `from` to before `to`, in start order, not overlapping
   */
  takeAll(window: number, children: Uint32Array, from: number, to: number): void {
    const tail = this.tailOf(window);
    const { heads, headWords, tails, tailWords, values } = this;
    const start = heads[window * HEAD_FLOATS] as number;
    let first = 0;
    let firstAfter = 0;
    let last = 0;
    let lastAfter = 0;
    let sum = 0;
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    let m2 = 0;
    for (let i = from; i < to; i++) {
      const child = children[i] as number;
      if (headWords[child * HEAD_WORDS + COUNT] !== 1) {
        for (let each = from; each < to; each++) this.take(window, children[each] as number);
        return;
      }
      last = heads[child * HEAD_FLOATS + FIRST] as number;
      lastAfter =
        (heads[child * HEAD_FLOATS] as number) -
        start +
        (headWords[child * HEAD_WORDS + FIRST_AFTER] as number);
      const n = i - from;
      if (n === 0) {
        first = last;
        firstAfter = lastAfter;
      } else {
        const distance = (1 / n) * sum - last;
        m2 += (n / (n + 1)) * distance * distance;
      }
      sum += last;
      if (last < min) min = last;
      if (last > max) max = last;
      values[n] = last;
    }
    const h = window * HEAD_FLOATS;
    const w = window * HEAD_WORDS;
    const t = tail * TAIL_FLOATS;
    const tw = tail * TAIL_WORDS;
    heads[h + FIRST] = first;
    headWords[w + COUNT] = to - from;
    headWords[w + FIRST_AFTER] = firstAfter;
    tails[t + SUM] = sum;
    tails[t + MIN] = min;
    tails[t + MAX] = max;
    tails[t + M2] = m2;
    tails[t + LAST] = last;
    tailWords[tw + LAST_AFTER] = lastAfter;
    const sketch = (tailWords[tw + SKETCH] as number) || this.sketches.make();
    tailWords[tw + SKETCH] = this.sketches.fill(sketch, values, to - from);
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
    const place = (row: PooledRow): number =>
      (this.headWords[row.window * HEAD_WORDS + STATE] as number) >>> FLAG_BITS;
    const tail = (row: PooledRow, field: number): number =>
      this.tails[place(row) * TAIL_FLOATS + field] as number;
    const tailWord = (row: PooledRow, field: number): number =>
      this.tailWords[place(row) * TAIL_WORDS + field] as number;
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

/** The figures of the slot `window`. */
export interface PooledRow extends Figures {
  window: number;
}
