/**
 * The values of the last `horizonMs`, in time order and sorted: the median and the MAD are read without sorting again.
 * An insertion moves at most the kept values (a memmove); memory grows with the number of values in the horizon.
 */
export class RollingSample {
  private readonly horizonMs: number;
  private times = new Float64Array(64);
  private values = new Float64Array(64);
  private sorted = new Float64Array(64);
  /** Ring: the oldest value, and how many there are. */
  private head = 0;
  private count = 0;

  constructor(horizonMs: number) {
    this.horizonMs = horizonMs;
  }

  get size(): number {
    return this.count;
  }

  /** @param ts not before the newest one */
  add(ts: number, value: number): void {
    this.forget(ts);
    if (this.count === this.times.length) this.grow();
    const at = (this.head + this.count) % this.times.length;
    this.times[at] = ts;
    this.values[at] = value;
    const rank = this.rank(value);
    this.sorted.copyWithin(rank + 1, rank, this.count);
    this.sorted[rank] = value;
    this.count++;
  }

  /** Drops what lies `horizonMs` or more before `now`. */
  forget(now: number): void {
    while (this.count > 0 && (this.times[this.head] as number) <= now - this.horizonMs) {
      const rank = this.rank(this.values[this.head] as number);
      this.sorted.copyWithin(rank, rank + 1, this.count);
      this.head = (this.head + 1) % this.times.length;
      this.count--;
    }
  }

  /** NaN when empty. */
  median(): number {
    return this.middle(0);
  }

  /** Median of the values above zero (of magnitudes); 0 when there is none. */
  medianAboveZero(): number {
    const zeros = this.rank(Number.MIN_VALUE);
    return zeros === this.count ? 0 : this.middle(zeros);
  }

  /**
   * Median absolute deviation from the median (the lower one of an even number), in O(log n): the deviations to the
   * left and to the right of the median are two sorted lists, of which the k smallest are taken together.
   */
  mad(): number {
    const { count, sorted } = this;
    if (count === 0) return Number.NaN;
    const median = this.median();
    const wanted = ((count - 1) >> 1) + 1;
    const split = this.rank(median);
    const left = (i: number): number => median - (sorted[split - i] as number);
    const right = (i: number): number => (sorted[split + i - 1] as number) - median;
    let low = Math.max(0, wanted - (count - split));
    let high = Math.min(wanted, split);
    while (low < high) {
      const taken = (low + high) >> 1;
      if (left(taken + 1) < right(wanted - taken)) low = taken + 1;
      else high = taken;
    }
    return Math.max(low > 0 ? left(low) : 0, wanted > low ? right(wanted - low) : 0);
  }

  private middle(from: number): number {
    const n = this.count - from;
    if (n === 0) return Number.NaN;
    const upper = this.sorted[from + (n >> 1)] as number;
    return n % 2 === 1 ? upper : ((this.sorted[from + (n >> 1) - 1] as number) + upper) / 2;
  }

  /** How many values are smaller. */
  private rank(value: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sorted[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private grow(): void {
    const size = this.times.length * 2;
    const inOrder = (from: Float64Array): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(size);
      to.set(from.subarray(this.head));
      to.set(from.subarray(0, this.head), from.length - this.head);
      return to;
    };
    this.times = inOrder(this.times);
    this.values = inOrder(this.values);
    const sorted = new Float64Array(size);
    sorted.set(this.sorted);
    this.sorted = sorted;
    this.head = 0;
  }
}

/** Median of a short list; NaN when empty. */
export function medianOf(values: readonly number[]): number {
  return quartilesOf(values)[1];
}

/** Quartiles of a short list, interpolated between the two nearest (type 7 of Hyndman and Fan, 1996). */
export function quartilesOf(values: readonly number[]): [lower: number, median: number, upper: number] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number): number => {
    const position = q * (sorted.length - 1);
    const below = sorted[Math.floor(position)] ?? Number.NaN;
    const above = sorted[Math.ceil(position)] ?? Number.NaN;
    return below + (position - Math.floor(position)) * (above - below);
  };
  return [at(0.25), at(0.5), at(0.75)];
}
