/** A chunk is two cache lines. */
const BYTES = 128;
const FLOATS = BYTES / 8;
const WORDS = BYTES / 4;
const SHORTS = BYTES / 2;
/** Of a ring: largest `a`, then first chunk, last chunk and number of arrivals. */
const RING_FLOATS = 3;
const RING_WORDS = 6;
const HEAD = 2;
const TAIL = 3;
const HELD = 4;

/**
 * The last arrivals of many series (or devices), to recognise a repetition of (a, b). One ring for each, a list of
 * chunks from a common pool.
 *
 * An arrival is remembered while it is among the last `limit` of its ring and the partition's arrival clock has not
 * gone on by more than the horizon. Every arrival is remembered, whatever became of it, and the clock only grows, so
 * what is recognised is a function of the end of the log alone: reading the log again from `replayOffset` restores it.
 *
 * Exact and compact: within a chunk numbers are kept as differences from its first arrival; one that does not fit
 * begins a chunk of its own.
 */
abstract class ArrivalPool {
  protected floats = new Float64Array(FLOATS << 4);
  protected words = new Uint32Array(this.floats.buffer);
  protected shorts = new Int16Array(this.floats.buffer);
  private rings = new Float64Array(RING_FLOATS << 4);
  private ringWords = new Uint32Array(this.rings.buffer);
  private ringCount = 0;
  private used = 1;
  private free = 0;
  private readonly limit: number;
  private readonly next: number;
  private readonly count: number;

  /**
   * @param limit arrivals of a ring that are remembered
   * @param next word of a chunk that holds the next one; the word after it holds the number of its arrivals
   */
  constructor(limit: number, next: number) {
    this.limit = limit;
    this.next = next;
    this.count = next + 1;
  }

  /** Bytes in use, free chunks included. */
  get bytes(): number {
    return this.used * BYTES + this.ringCount * RING_FLOATS * 8;
  }

  /** A new, empty ring. */
  make(): number {
    const ring = this.ringCount++;
    if (this.ringCount * RING_FLOATS > this.rings.length) {
      const next = new Float64Array(this.rings.length * 2);
      next.set(this.rings);
      this.rings = next;
      this.ringWords = new Uint32Array(next.buffer);
    }
    this.rings[ring * RING_FLOATS] = Number.NEGATIVE_INFINITY;
    return ring;
  }

  /** Whether (a, b) arrived at or after `since` on the arrival clock. `a` above all before is answered at once. */
  has(ring: number, a: number, b: number, since: number): boolean {
    if (a > (this.rings[ring * RING_FLOATS] as number)) return false;
    let skip = Math.max(0, (this.ringWords[ring * RING_WORDS + HELD] as number) - this.limit);
    let chunk = this.ringWords[ring * RING_WORDS + HEAD] as number;
    while (chunk !== 0) {
      const n = this.words[chunk * WORDS + this.count] as number;
      if (skip < n && this.find(chunk, skip, n, a, b, since)) return true;
      skip = Math.max(0, skip - n);
      chunk = this.words[chunk * WORDS + this.next] as number;
    }
    return false;
  }

  /** Remembers an arrival, and forgets those before `since`. */
  put(ring: number, a: number, b: number, clock: number, since: number): void {
    const { ringWords } = this;
    const r = ring * RING_WORDS;
    let tail = ringWords[r + TAIL] as number;
    if (tail === 0 || !this.append(tail, this.words[tail * WORDS + this.count] as number, a, b, clock)) {
      const made = this.allocate();
      if (tail === 0) ringWords[r + HEAD] = made;
      else this.words[tail * WORDS + this.next] = made;
      ringWords[r + TAIL] = made;
      tail = made;
      this.begin(made, a, b, clock);
      this.append(made, 0, a, b, clock);
      this.forget(r, since);
    }
    this.words[tail * WORDS + this.count] = (this.words[tail * WORDS + this.count] as number) + 1;
    ringWords[r + HELD] = (ringWords[r + HELD] as number) + 1;
    if (a > (this.rings[ring * RING_FLOATS] as number)) this.rings[ring * RING_FLOATS] = a;
  }

  /** Gives chunks back that hold nothing to be remembered. */
  private forget(r: number, since: number): void {
    const { ringWords, words } = this;
    let held = ringWords[r + HELD] as number;
    let head = ringWords[r + HEAD] as number;
    while (head !== ringWords[r + TAIL]) {
      const n = words[head * WORDS + this.count] as number;
      if (held - n < this.limit && this.clockOf(head, n - 1) >= since) break;
      held -= n;
      const next = words[head * WORDS + this.next] as number;
      words[head * WORDS + this.next] = this.free;
      this.free = head;
      head = next;
    }
    ringWords[r + HEAD] = head;
    ringWords[r + HELD] = held;
  }

  private allocate(): number {
    let chunk = this.free;
    if (chunk !== 0) {
      this.free = this.words[chunk * WORDS + this.next] as number;
    } else {
      chunk = this.used++;
      if (this.used * FLOATS > this.floats.length) {
        const next = new Float64Array(this.floats.length * 2);
        next.set(this.floats);
        this.floats = next;
        this.words = new Uint32Array(next.buffer);
        this.shorts = new Int16Array(next.buffer);
      }
    }
    this.words[chunk * WORDS + this.next] = 0;
    this.words[chunk * WORDS + this.count] = 0;
    return chunk;
  }

  protected abstract begin(chunk: number, a: number, b: number, clock: number): void;
  /** False when the chunk is full, or the arrival does not fit its form. */
  protected abstract append(chunk: number, n: number, a: number, b: number, clock: number): boolean;
  protected abstract find(
    chunk: number,
    from: number,
    to: number,
    a: number,
    b: number,
    since: number,
  ): boolean;
  protected abstract clockOf(chunk: number, index: number): number;
}

const isShort = (n: number): boolean => n >= -32_768 && n <= 32_767;

/**
 * Arrivals of readings, (ts, seq). A chunk: first ts, seq and clock as floats, next, count, then 16 arrivals of three
 * 16-bit differences.
 */
export class ReadingArrivals extends ArrivalPool {
  constructor(limit: number) {
    super(limit, 6);
  }

  protected begin(chunk: number, ts: number, seq: number, clock: number): void {
    const f = chunk * FLOATS;
    this.floats[f] = ts;
    this.floats[f + 1] = seq;
    this.floats[f + 2] = clock;
  }

  protected append(chunk: number, n: number, ts: number, seq: number, clock: number): boolean {
    const f = chunk * FLOATS;
    const dTs = ts - (this.floats[f] as number);
    const dSeq = seq - (this.floats[f + 1] as number);
    const dClock = clock - (this.floats[f + 2] as number);
    if (n === 16 || !isShort(dTs) || !isShort(dSeq) || dClock > 32_767) return false;
    const at = chunk * SHORTS + 16 + 3 * n;
    this.shorts[at] = dTs;
    this.shorts[at + 1] = dSeq;
    this.shorts[at + 2] = dClock;
    return true;
  }

  protected find(chunk: number, from: number, to: number, ts: number, seq: number, since: number): boolean {
    const f = chunk * FLOATS;
    const dTs = ts - (this.floats[f] as number);
    const dSeq = seq - (this.floats[f + 1] as number);
    if (!isShort(dTs) || !isShort(dSeq)) return false;
    const first = chunk * SHORTS + 16;
    for (let at = first + 3 * from; at < first + 3 * to; at += 3) {
      if (this.shorts[at] === dTs && this.shorts[at + 1] === dSeq)
        if ((this.floats[f + 2] as number) + (this.shorts[at + 2] as number) >= since) return true;
    }
    return false;
  }

  protected clockOf(chunk: number, index: number): number {
    return (
      (this.floats[chunk * FLOATS + 2] as number) + (this.shorts[chunk * SHORTS + 18 + 3 * index] as number)
    );
  }
}

/**
 * Arrivals of publishes, (MQTT packet id, 53-bit hash). A chunk: first clock as a float, next, count, then 9 hashes as
 * floats, 9 packet ids and 9 clocks as 16-bit differences.
 */
export class PublishArrivals extends ArrivalPool {
  constructor(limit: number) {
    super(limit, 2);
  }

  protected begin(chunk: number, _mid: number, _hash: number, clock: number): void {
    this.floats[chunk * FLOATS] = clock;
  }

  protected append(chunk: number, n: number, mid: number, hash: number, clock: number): boolean {
    const dClock = clock - (this.floats[chunk * FLOATS] as number);
    if (n === 9 || dClock > 32_767) return false;
    this.floats[chunk * FLOATS + 2 + n] = hash;
    this.shorts[chunk * SHORTS + 44 + n] = mid;
    this.shorts[chunk * SHORTS + 53 + n] = dClock;
    return true;
  }

  protected find(chunk: number, from: number, to: number, mid: number, hash: number, since: number): boolean {
    for (let i = from; i < to; i++) {
      if (this.floats[chunk * FLOATS + 2 + i] !== hash) continue;
      const same = ((this.shorts[chunk * SHORTS + 44 + i] as number) & 0xffff) === mid;
      if (same && this.clockOf(chunk, i) >= since) return true;
    }
    return false;
  }

  protected clockOf(chunk: number, index: number): number {
    return (this.floats[chunk * FLOATS] as number) + (this.shorts[chunk * SHORTS + 53 + index] as number);
  }
}

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
