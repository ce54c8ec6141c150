import { grown } from './columns.ts';
import {
  boundedKey,
  bucketValue,
  encodeBuckets,
  keyOf,
  MAX_KEY,
  MAX_SPAN,
  maxEncodedBytes,
  type SketchView,
} from './sketch.ts';

/** A word is a biased key in the upper bits and a count in the lower ones; a larger count takes several words. */
const COUNT_BITS = 14;
const MAX_COUNT = (1 << COUNT_BITS) - 1;
const FIRST_BLOCK = 8;
/** A block begins with its length in use above and its size class below these bits. */
const CLASS_BITS = 5;
const CLASS_MASK = (1 << CLASS_BITS) - 1;

/**
 * The sketches of many open windows in one array: blocks of 8, 16, 32 … words with a free list for each size, four
 * bytes a bucket. A sketch is the index of its block; 0 is none.
 */
export class SketchPool {
  private words = new Uint32Array(1 << 10);
  private used = FIRST_BLOCK;
  /** By size class: the first free block; the word after its header is the next one. */
  private readonly free: number[] = [];
  private scratch = new Uint32Array(256);
  private scratchUsed = 0;

  /** Bytes in use, free blocks included. */
  get bytes(): number {
    return this.used * 4;
  }

  make(): number {
    return this.allocate(0);
  }

  /** Empties a sketch; it keeps its place. */
  clear(sketch: number): void {
    this.words[sketch] = (this.words[sketch] as number) & CLASS_MASK;
  }

  release(sketch: number): void {
    const size = (this.words[sketch] as number) & CLASS_MASK;
    this.words[sketch + 1] = this.free[size] ?? 0;
    this.free[size] = sketch;
  }

  copy(sketch: number): number {
    const header = this.words[sketch] as number;
    const made = this.allocate(header & CLASS_MASK);
    this.words.copyWithin(made, sketch, sketch + 1 + (header >>> CLASS_BITS));
    return made;
  }

  /** Adds a value; the sketch may move. */
  add(sketch: number, value: number): number {
    const { words } = this;
    const key = keyOf(value) + MAX_KEY;
    const header = words[sketch] as number;
    const length = header >>> CLASS_BITS;
    let at = sketch + length;
    if (length > LINEAR) {
      let low = sketch;
      while (low < at) {
        const middle = (low + at + 1) >>> 1;
        if ((words[middle] as number) >>> COUNT_BITS > key) at = middle - 1;
        else low = middle;
      }
    } else {
      while (at > sketch && (words[at] as number) >>> COUNT_BITS > key) at--;
    }
    if (at > sketch) {
      const word = words[at] as number;
      if (word >>> COUNT_BITS === key && (word & MAX_COUNT) < MAX_COUNT) {
        words[at] = word + 1;
        return sketch;
      }
    }
    let into = sketch;
    if (length + 1 >= FIRST_BLOCK << (header & CLASS_MASK)) {
      into = this.move(sketch, (header & CLASS_MASK) + 1);
      at += into - sketch;
    }
    const now = this.words;
    const end = into + length;
    // A loop: the call of copyWithin costs more than the few words that it moves.
    for (let i = end; i > at; i--) now[i + 1] = now[i] as number;
    now[at + 1] = key * (MAX_COUNT + 1) + 1;
    now[into] = (((length + 1) << CLASS_BITS) | ((now[into] as number) & CLASS_MASK)) >>> 0;
    if (this.span(into) < MAX_SPAN) return into;
    this.scratchUsed = 0;
    this.pushAll(into);
    return this.store(into);
  }

  /** Makes it a sketch of the first `n` values, at most 64; it may move. */
  fill(sketch: number, values: Float64Array, n: number): number {
    const { scratch } = this;
    let used = 0;
    for (let i = 0; i < n; i++) {
      const key = keyOf(values[i] as number) + MAX_KEY;
      let at = used;
      while (at > 0 && (scratch[at - 1] as number) >>> COUNT_BITS > key) at--;
      if (at > 0 && (scratch[at - 1] as number) >>> COUNT_BITS === key) {
        scratch[at - 1] = (scratch[at - 1] as number) + 1;
        continue;
      }
      for (let j = used++; j > at; j--) scratch[j] = scratch[j - 1] as number;
      scratch[at] = key * (MAX_COUNT + 1) + 1;
    }
    this.scratchUsed = used;
    return this.store(sketch);
  }

  /** Adds the buckets of another sketch; this one may move. */
  merge(sketch: number, other: number): number {
    const { words } = this;
    let i = sketch + 1;
    let j = other + 1;
    const iEnd = i + ((words[sketch] as number) >>> CLASS_BITS);
    const jEnd = j + ((words[other] as number) >>> CLASS_BITS);
    this.scratchUsed = 0;
    while (i < iEnd && j < jEnd) {
      const a = words[i] as number;
      const b = words[j] as number;
      if (a >>> COUNT_BITS <= b >>> COUNT_BITS) {
        this.push(a);
        i++;
      } else {
        this.push(b);
        j++;
      }
    }
    while (i < iEnd) this.push(words[i++] as number);
    while (j < jEnd) this.push(words[j++] as number);
    return this.store(sketch);
  }

  /** Takes a sketch of another kind in. */
  load(view: SketchView): number {
    this.scratchUsed = 0;
    view.forEach((key, count) => {
      this.pushBucket(key + MAX_KEY, count);
    });
    return this.store(this.allocate(0));
  }

  forEach(sketch: number, visit: (key: number, count: number) => void): void {
    const { words } = this;
    const end = sketch + ((words[sketch] as number) >>> CLASS_BITS);
    for (let at = sketch + 1; at <= end; ) {
      const key = (words[at] as number) >>> COUNT_BITS;
      let count = 0;
      while (at <= end && (words[at] as number) >>> COUNT_BITS === key)
        count += (words[at++] as number) & MAX_COUNT;
      visit(key - MAX_KEY, count);
    }
  }

  /** As `SketchView.quantile`. */
  quantile(sketch: number, q: number): number {
    const { words } = this;
    const end = sketch + ((words[sketch] as number) >>> CLASS_BITS);
    let total = 0;
    for (let at = sketch + 1; at <= end; at++) total += (words[at] as number) & MAX_COUNT;
    if (total === 0) return Number.NaN;
    const rank = Math.floor(1 + q * (total - 1));
    let seen = 0;
    let at = sketch;
    while (seen < rank) seen += (words[++at] as number) & MAX_COUNT;
    return bucketValue(((words[at] as number) >>> COUNT_BITS) - MAX_KEY);
  }

  private span(sketch: number): number {
    const last = sketch + ((this.words[sketch] as number) >>> CLASS_BITS);
    return (
      ((this.words[last] as number) >>> COUNT_BITS) - ((this.words[sketch + 1] as number) >>> COUNT_BITS)
    );
  }

  private pushAll(sketch: number): void {
    const end = sketch + ((this.words[sketch] as number) >>> CLASS_BITS);
    for (let at = sketch + 1; at <= end; at++) this.push(this.words[at] as number);
  }

  /** Appends a word to the scratch list, in key order; equal keys become one bucket. */
  private push(word: number): void {
    const last = this.scratchUsed - 1;
    if (last >= 0) {
      const before = this.scratch[last] as number;
      if (before >>> COUNT_BITS === word >>> COUNT_BITS) {
        const sum = (before & MAX_COUNT) + (word & MAX_COUNT);
        if (sum <= MAX_COUNT) {
          this.scratch[last] = before + (word & MAX_COUNT);
          return;
        }
        this.scratch[last] = before | MAX_COUNT;
        this.append(word - (word & MAX_COUNT) + sum - MAX_COUNT);
        return;
      }
    }
    this.append(word);
  }

  private append(word: number): void {
    if (this.scratchUsed === this.scratch.length) this.scratch = grown(this.scratch, this.scratchUsed + 1);
    this.scratch[this.scratchUsed++] = word;
  }

  private pushBucket(biased: number, count: number): void {
    const base = biased * (MAX_COUNT + 1);
    let rest = count;
    for (; rest > MAX_COUNT; rest -= MAX_COUNT) this.push(base + MAX_COUNT);
    this.push(base + rest);
  }

  /** Puts the scratch list into a sketch, within the bound. */
  private store(sketch: number): number {
    let length = this.scratchUsed;
    if (length > 0) {
      const lowest = (this.scratch[0] as number) >>> COUNT_BITS;
      const highest = (this.scratch[length - 1] as number) >>> COUNT_BITS;
      if (highest - lowest >= MAX_SPAN) {
        const old = this.scratch.slice(0, length);
        this.scratchUsed = 0;
        for (const word of old) {
          const key = boundedKey((word >>> COUNT_BITS) - MAX_KEY, lowest - MAX_KEY, highest - MAX_KEY);
          this.push((key + MAX_KEY) * (MAX_COUNT + 1) + (word & MAX_COUNT));
        }
        length = this.scratchUsed;
      }
    }
    let into = sketch;
    let size = (this.words[sketch] as number) & CLASS_MASK;
    if (length >= FIRST_BLOCK << size) {
      while (length >= FIRST_BLOCK << size) size++;
      this.release(sketch);
      into = this.allocate(size);
    }
    const { words, scratch } = this;
    words[into] = ((length << CLASS_BITS) | size) >>> 0;
    for (let i = 0; i < length; i++) words[into + 1 + i] = scratch[i] as number;
    return into;
  }

  private move(sketch: number, size: number): number {
    const made = this.allocate(size);
    const length = (this.words[sketch] as number) >>> CLASS_BITS;
    this.words.copyWithin(made + 1, sketch + 1, sketch + 1 + length);
    this.words[made] = ((length << CLASS_BITS) | size) >>> 0;
    this.release(sketch);
    return made;
  }

  private allocate(size: number): number {
    const free = this.free[size] ?? 0;
    let made = free;
    if (free !== 0) {
      this.free[size] = this.words[free + 1] as number;
    } else {
      made = this.used;
      this.used += FIRST_BLOCK << size;
      if (this.used > this.words.length) this.words = grown(this.words, this.used);
    }
    this.words[made] = size;
    return made;
  }
}

const LINEAR = 24;

/** A sketch in a pool, as others see it. */
export class PooledSketch implements SketchView {
  private readonly pool: SketchPool;
  private readonly keys: number[] = [];
  private readonly counts: number[] = [];
  sketch = 0;

  constructor(pool: SketchPool) {
    this.pool = pool;
  }

  get size(): number {
    let size = 0;
    this.forEach(() => {
      size++;
    });
    return size;
  }
  forEach(visit: (key: number, count: number) => void): void {
    this.pool.forEach(this.sketch, visit);
  }
  quantile(q: number): number {
    return this.pool.quantile(this.sketch, q);
  }
  encode(): Buffer {
    const { keys, counts } = this;
    let n = 0;
    this.forEach((key, count) => {
      keys[n] = key;
      counts[n++] = count;
    });
    const out = Buffer.allocUnsafe(maxEncodedBytes(n));
    return out.subarray(0, encodeBuckets(out, 0, keys, counts, n));
  }
}
