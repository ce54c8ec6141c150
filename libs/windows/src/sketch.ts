/**
 * DDSketch: a quantile sketch with relative error, mergeable without loss.
 * Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
 * Relative-Error Guarantees", PVLDB 12(12), 2019.
 *
 * A value v > 0 falls into bucket i = ⌈log_γ v⌉, γ = (1 + α) / (1 - α), and is read back as 2γ^i / (γ + 1), which is
 * within α of every value of the bucket. Negative values mirror the positive ones; zero has a bucket of its own.
 * All three live in one sorted list of integer keys, so keys in order are values in order.
 */

/** α: largest relative error of a quantile. */
export const RELATIVE_ERROR = 0.01;
/**
 * Bound: a sign holds buckets of at most this span of indexes below its largest magnitude; smaller magnitudes are
 * counted in the lowest bucket of the span. 4,096 buckets span a factor of 10^35: a quantile is within 1 %, or within
 * 10^-35 of the largest magnitude. Which bucket a value ends in depends only on the largest magnitude of all, so the
 * collapse keeps merges independent of their order.
 */
export const MAX_SPAN = 4_096;

const GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
const LOG_GAMMA = Math.log(GAMMA);
const LOG_MIDDLE = Math.log(2 / (GAMMA + 1));
/** Larger than any index of a 64-bit float (±35,500), so that positive keys are > 0 and negative ones < 0. */
const OFFSET = 40_000;
/** No key is larger, or smaller than its negative. */
export const MAX_KEY = 2 * OFFSET;
/** Magnitudes below the smallest normal float count as zero. */
const MIN_MAGNITUDE = 2 ** -1022;

/** @param value finite */
export function keyOf(value: number): number {
  if (value >= MIN_MAGNITUDE) return Math.ceil(Math.log(value) / LOG_GAMMA) + OFFSET;
  if (value <= -MIN_MAGNITUDE) return -Math.ceil(Math.log(-value) / LOG_GAMMA) - OFFSET;
  return 0;
}

export function bucketValue(key: number): number {
  if (key === 0) return 0;
  const log = (Math.abs(key) - OFFSET) * LOG_GAMMA + LOG_MIDDLE;
  const magnitude = Math.min(Number.MAX_VALUE, Math.exp(log));
  return key > 0 ? magnitude : -magnitude;
}

/** Where a bucket is counted when `lowest` and `highest` are the extreme keys of the sketch. */
export function boundedKey(key: number, lowest: number, highest: number): number {
  if (key > 0) return Math.max(key, highest - MAX_SPAN + 1);
  if (key < 0) return Math.min(key, lowest + MAX_SPAN - 1);
  return 0;
}

/** A sketch to read. */
export interface SketchView {
  /** Buckets in use. */
  readonly size: number;
  /** Every bucket in ascending order of its key; keys are those of `keyOf`. */
  forEach(visit: (key: number, count: number) => void): void;
  /**
   * The value at rank ⌊1 + q (n - 1)⌋ of the sorted values, within 1 %. NaN when the sketch is empty.
   * @param q 0..1
   */
  quantile(q: number): number;
  /** Version, number of buckets, first key (zigzag), then for each bucket: gap to the next key and count. Varints. */
  encode(): Buffer;
}

/** A sketch of its own; those of open windows live in a `SketchPool`. */
export class Sketch implements SketchView {
  /** Ascending. */
  private keys: number[] = [];
  private counts: number[] = [];

  get size(): number {
    return this.keys.length;
  }

  forEach(visit: (key: number, count: number) => void): void {
    for (let i = 0; i < this.keys.length; i++) visit(this.keys[i] as number, this.counts[i] as number);
  }

  /** @param value finite */
  add(value: number): void {
    const key = keyOf(value);
    const { keys, counts } = this;
    let at = keys.length;
    while (at > 0 && (keys[at - 1] as number) > key) at--;
    if (at > 0 && keys[at - 1] === key) {
      counts[at - 1] = (counts[at - 1] as number) + 1;
    } else {
      keys.splice(at, 0, key);
      counts.splice(at, 0, 1);
      this.bound();
    }
  }

  merge(other: SketchView): void {
    const { keys, counts } = this;
    this.keys = [];
    this.counts = [];
    let i = 0;
    other.forEach((key, count) => {
      while (i < keys.length && (keys[i] as number) <= key)
        this.push(keys[i] as number, counts[i++] as number);
      this.push(key, count);
    });
    while (i < keys.length) this.push(keys[i] as number, counts[i++] as number);
    this.bound();
  }

  quantile(q: number): number {
    const { keys, counts } = this;
    let total = 0;
    for (let i = 0; i < counts.length; i++) total += counts[i] as number;
    if (total === 0) return Number.NaN;
    const rank = Math.floor(1 + q * (total - 1));
    let seen = 0;
    for (let i = 0; i < keys.length; i++) {
      seen += counts[i] as number;
      if (seen >= rank) return bucketValue(keys[i] as number);
    }
    return bucketValue(keys[keys.length - 1] as number);
  }

  encode(): Buffer {
    const { keys, counts } = this;
    const out = Buffer.allocUnsafe(maxEncodedBytes(keys.length));
    return out.subarray(0, encodeBuckets(out, 0, keys, counts, keys.length));
  }

  /** Throws a RangeError when the bytes are not an encoded sketch. */
  static decode(bytes: Uint8Array): Sketch {
    if (bytes[0] !== FORMAT) throw new RangeError(`sketch format ${String(bytes[0])} is not known`);
    const cursor = { at: 1 };
    const sketch = new Sketch();
    const n = getVarint(bytes, cursor);
    let key = 0;
    for (let i = 0; i < n; i++) {
      const raw = getVarint(bytes, cursor);
      key = i === 0 ? (raw % 2 === 1 ? -(raw + 1) / 2 : raw / 2) : key + raw;
      sketch.keys.push(key);
      sketch.counts.push(getVarint(bytes, cursor));
    }
    if (cursor.at !== bytes.length) throw new RangeError('a sketch has bytes after its last bucket');
    return sketch;
  }

  /** `key` is not below the last one. */
  private push(key: number, count: number): void {
    const last = this.keys.length - 1;
    if (last >= 0 && this.keys[last] === key) this.counts[last] = (this.counts[last] as number) + count;
    else {
      this.keys.push(key);
      this.counts.push(count);
    }
  }

  private bound(): void {
    const { keys, counts } = this;
    const lowest = keys[0] ?? 0;
    const highest = keys[keys.length - 1] ?? 0;
    if (highest - lowest < MAX_SPAN) return;
    this.keys = [];
    this.counts = [];
    keys.forEach((key, i) => {
      this.push(boundedKey(key, lowest, highest), counts[i] as number);
    });
  }
}

const FORMAT = 1;

export const maxEncodedBytes = (buckets: number): number => 16 + buckets * 13;

/** Writes buckets as `SketchView.encode` does; `out` has room for `maxEncodedBytes`. Returns where the bytes end. */
export function encodeBuckets(
  out: Uint8Array,
  from: number,
  keys: ArrayLike<number>,
  counts: ArrayLike<number>,
  n: number,
): number {
  out[from] = FORMAT;
  let at = putVarint(out, from + 1, n);
  let previous = 0;
  for (let i = 0; i < n; i++) {
    const key = keys[i] as number;
    const raw = i > 0 ? key - previous : key < 0 ? -2 * key - 1 : 2 * key;
    at = putVarint(out, at, raw);
    at = putVarint(out, at, counts[i] as number);
    previous = key;
  }
  return at;
}

function putVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    out[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  out[at++] = rest;
  return at;
}

function getVarint(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  let factor = 1;
  for (;;) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw new RangeError('a sketch ends in the middle of a number');
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 0x80;
    if (factor > 2 ** 49) throw new RangeError('a number in a sketch is too long');
  }
}
