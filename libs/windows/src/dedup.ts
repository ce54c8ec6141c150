/**
 * The last arrivals of one series (or of one device), to recognise a repetition.
 *
 * An arrival is remembered while it is among the last `limit` of its ring and the partition's arrival clock has not
 * gone on by more than the horizon. Every arrival is remembered, whatever became of it, and the clock only grows, so
 * the content is a function of the end of the log alone: reading the log again from `replayOffset` restores it.
 */
export class ArrivalRing {
  private a: Float64Array;
  private b: Float64Array;
  private clock: Float64Array;
  /** Arrivals ever remembered; the newest is at (total - 1) % capacity. */
  private total = 0;
  private held = 0;
  private largest = Number.NEGATIVE_INFINITY;

  constructor() {
    this.a = new Float64Array(FIRST_CAPACITY);
    this.b = new Float64Array(FIRST_CAPACITY);
    this.clock = new Float64Array(FIRST_CAPACITY);
  }

  /** Whether (a, b) arrived at or after `since` on the arrival clock. `a` above all before is answered at once. */
  has(a: number, b: number, since: number): boolean {
    if (a > this.largest) return false;
    const capacity = this.a.length;
    let at = this.total % capacity;
    for (let i = 0; i < this.held; i++) {
      at = at === 0 ? capacity - 1 : at - 1;
      if ((this.clock[at] as number) < since) return false;
      if (this.a[at] === a && this.b[at] === b) return true;
    }
    return false;
  }

  /** Remembers an arrival. Memory grows only while the oldest arrival is still within the horizon. */
  put(a: number, b: number, clock: number, since: number, limit: number): void {
    let capacity = this.a.length;
    if (this.held === capacity && capacity < limit) {
      const oldest = this.total % capacity;
      if ((this.clock[oldest] as number) >= since) {
        this.grow(Math.min(limit, capacity * 2));
        capacity = this.a.length;
      }
    }
    const at = this.total % capacity;
    this.a[at] = a;
    this.b[at] = b;
    this.clock[at] = clock;
    this.total++;
    if (this.held < capacity) this.held++;
    if (a > this.largest) this.largest = a;
  }

  private grow(capacity: number): void {
    const from = this.total % this.a.length;
    const unroll = (old: Float64Array): Float64Array => {
      const next = new Float64Array(capacity);
      next.set(old.subarray(from), 0);
      next.set(old.subarray(0, from), old.length - from);
      return next;
    };
    this.a = unroll(this.a);
    this.b = unroll(this.b);
    this.clock = unroll(this.clock);
    this.total = this.held;
  }
}

const FIRST_CAPACITY = 8;

/** 53-bit hash of a text (cyrb53, public domain, after MurmurHash3's mixing); equal texts have equal hashes. */
export function hashText(text: string, from: number): number {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    h1 = Math.imul(h1 ^ c, 2654435761);
    h2 = Math.imul(h2 ^ c, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return 4294967296 * (2097151 & h2) + (h1 >>> 0);
}
