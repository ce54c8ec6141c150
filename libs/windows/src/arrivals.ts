import { grown } from './columns.ts';

/** The horizon begins at a whole second of the arrival clock. */
export const ARRIVAL_TICK_MS = 1_000;

/** A chunk is one cache line. Its last words: the next chunk, then the number of its arrivals and of bytes in use. */
const BYTES = 64;
const FLOATS = BYTES / 8;
const WORDS = BYTES / 4;
const NEXT = 14;
const COUNT = 60;
const USED = 61;
/** Room for arrivals behind the header of three floats. */
const FIRST = 24;
const END = 56;

/**
 * Of a ring: largest `a`; `a`, `b` and tick of the last arrival, and how far its `a` was from the one before it in the
 * chunk; then first chunk, last chunk, number of arrivals.
 */
const RING_FLOATS = 7;
const RING_WORDS = 14;
const LAST_A = 1;
const LAST_B = 2;
const LAST_TICK = 3;
const LAST_STEP = 4;
const HEAD = 10;
const TAIL = 11;
const HELD = 12;

/**
 * The last arrivals of many series (or devices), to recognise a repetition of (a, b), two whole numbers. One ring for
 * each, a list of chunks from a common pool.
 *
 * An arrival is remembered while it is among the last `limit` of its ring and the partition's arrival clock has not
 * gone on by more than the horizon. Every arrival is remembered, whatever became of it, and the clock only grows, so
 * what is recognised is a function of the end of the log alone: reading the log again from `replayOffset` restores it.
 *
 * Exact and compact: a chunk begins with an arrival in full, the others are differences from the one before, in as
 * few bytes as they need: for `a` how much its step differs from the step before, so a steady rate takes one or two
 * bytes. What does not fit begins a chunk of its own.
 */
export class Arrivals {
  private floats = new Float64Array(FLOATS << 4);
  private words = new Uint32Array(this.floats.buffer);
  private bytesOf = new Uint8Array(this.floats.buffer);
  private rings = new Float64Array(RING_FLOATS << 4);
  private ringWords = new Uint32Array(this.rings.buffer);
  private ringCount = 0;
  private used = 1;
  private free = 0;
  private at = 0;
  private readonly limit: number;

  /** @param limit arrivals of a ring that are remembered */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes in use, free chunks included. */
  get bytes(): number {
    return this.used * BYTES + this.ringCount * RING_FLOATS * 8;
  }

  /** A new, empty ring. */
  make(): number {
    const ring = this.ringCount++;
    if (this.ringCount * RING_FLOATS > this.rings.length) {
      this.rings = grown(this.rings, this.ringCount * RING_FLOATS);
      this.ringWords = new Uint32Array(this.rings.buffer);
    }
    this.rings[ring * RING_FLOATS] = Number.NEGATIVE_INFINITY;
    return ring;
  }

  /**
   * Whether (a, b) arrived at or after `since`. `a` above all before is answered at once.
   * @param since on the arrival clock, a multiple of ARRIVAL_TICK_MS
   */
  has(ring: number, a: number, b: number, since: number): boolean {
    if (a > (this.rings[ring * RING_FLOATS] as number)) return false;
    let skip = Math.max(0, (this.ringWords[ring * RING_WORDS + HELD] as number) - this.limit);
    let chunk = this.ringWords[ring * RING_WORDS + HEAD] as number;
    while (chunk !== 0) {
      const n = this.bytesOf[chunk * BYTES + COUNT] as number;
      if (skip < n && this.find(chunk, skip, n, a, b, since / ARRIVAL_TICK_MS)) return true;
      skip = Math.max(0, skip - n);
      chunk = this.words[chunk * WORDS + NEXT] as number;
    }
    return false;
  }

  /** Remembers an arrival, and forgets those before `since`. */
  put(ring: number, a: number, b: number, clock: number, since: number): void {
    const { ringWords, rings } = this;
    const r = ring * RING_WORDS;
    const f = ring * RING_FLOATS;
    const tick = Math.floor(clock / ARRIVAL_TICK_MS);
    const tail = ringWords[r + TAIL] as number;
    if (tail === 0 || !this.append(tail, f, a, b, tick)) {
      const made = this.allocate();
      if (tail === 0) ringWords[r + HEAD] = made;
      else this.words[tail * WORDS + NEXT] = made;
      ringWords[r + TAIL] = made;
      this.floats[made * FLOATS] = a;
      this.floats[made * FLOATS + 1] = b;
      this.floats[made * FLOATS + 2] = tick;
      rings[f + LAST_STEP] = 0;
      this.forget(r, since / ARRIVAL_TICK_MS);
    }
    ringWords[r + HELD] = (ringWords[r + HELD] as number) + 1;
    rings[f + LAST_A] = a;
    rings[f + LAST_B] = b;
    rings[f + LAST_TICK] = tick;
    if (a > (rings[f] as number)) rings[f] = a;
  }

  /**
   * Writes the differences from the last arrival: a number that says that of the step of `a`, whether that of `b` is 1, and that
   * of the tick up to 2; larger ones follow. False when the chunk has no room for them.
   */
  private append(chunk: number, f: number, a: number, b: number, tick: number): boolean {
    const { rings, bytesOf } = this;
    const step = a - (rings[f + LAST_A] as number);
    const dStep = step - (rings[f + LAST_STEP] as number);
    const dB = b - (rings[f + LAST_B] as number);
    const dTick = tick - (rings[f + LAST_TICK] as number);
    if (!(Math.abs(dStep) < FITS && Math.abs(dB) < FITS && dTick < FITS)) return false;
    const start = chunk * BYTES;
    const from = start + (bytesOf[start + USED] as number);
    const low = (dB === 1 ? 4 : 0) + Math.min(dTick, 3);
    const head = zigzag(dStep) * 8 + low;
    let size = varintSize(head);
    if (dB !== 1) size += varintSize(zigzag(dB));
    if (dTick >= 3) size += varintSize(dTick);
    if (from + size > start + END) return false;
    this.at = from;
    this.write(head);
    if (dB !== 1) this.write(zigzag(dB));
    if (dTick >= 3) this.write(dTick);
    rings[f + LAST_STEP] = step;
    bytesOf[start + USED] = this.at - start;
    bytesOf[start + COUNT] = (bytesOf[start + COUNT] as number) + 1;
    return true;
  }

  /** Whether one of the arrivals from..to of a chunk is (a, b), at `since` or later. */
  private find(chunk: number, from: number, to: number, a: number, b: number, since: number): boolean {
    let oneA = this.floats[chunk * FLOATS] as number;
    let oneB = this.floats[chunk * FLOATS + 1] as number;
    let tick = this.floats[chunk * FLOATS + 2] as number;
    let step = 0;
    this.at = chunk * BYTES + FIRST;
    for (let i = 0; i < to; i++) {
      if (i > 0) {
        const head = this.read();
        step += unzigzag(Math.floor(head / 8));
        oneA += step;
        oneB += head % 8 >= 4 ? 1 : unzigzag(this.read());
        tick += head % 4 === 3 ? this.read() : head % 4;
      }
      if (i >= from && oneA === a && oneB === b && tick >= since) return true;
    }
    return false;
  }

  /** Gives chunks back that hold nothing to be remembered: the next one begins before `since`, or is full enough. */
  private forget(r: number, since: number): void {
    const { ringWords, words } = this;
    let held = ringWords[r + HELD] as number;
    let head = ringWords[r + HEAD] as number;
    while (head !== ringWords[r + TAIL]) {
      const n = this.bytesOf[head * BYTES + COUNT] as number;
      const next = words[head * WORDS + NEXT] as number;
      if (held - n < this.limit && (this.floats[next * FLOATS + 2] as number) >= since) break;
      held -= n;
      words[head * WORDS + NEXT] = this.free;
      this.free = head;
      head = next;
    }
    ringWords[r + HEAD] = head;
    ringWords[r + HELD] = held;
  }

  /** A chunk of one arrival, which the caller writes. */
  private allocate(): number {
    let chunk = this.free;
    if (chunk !== 0) {
      this.free = this.words[chunk * WORDS + NEXT] as number;
    } else {
      chunk = this.used++;
      if (this.used * FLOATS > this.floats.length) {
        this.floats = grown(this.floats, this.used * FLOATS);
        this.words = new Uint32Array(this.floats.buffer);
        this.bytesOf = new Uint8Array(this.floats.buffer);
      }
    }
    this.words[chunk * WORDS + NEXT] = 0;
    this.bytesOf[chunk * BYTES + COUNT] = 1;
    this.bytesOf[chunk * BYTES + USED] = FIRST;
    return chunk;
  }

  private write(value: number): void {
    const { bytesOf } = this;
    let rest = value;
    while (rest >= 0x80) {
      bytesOf[this.at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    bytesOf[this.at++] = rest;
  }

  private read(): number {
    const { bytesOf } = this;
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = bytesOf[this.at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }
}

/** Differences below it are exact in a number that begins with them. */
const FITS = 2 ** 48;
const zigzag = (n: number): number => (n < 0 ? -2 * n - 1 : 2 * n);
const unzigzag = (n: number): number => (n % 2 === 1 ? -(n + 1) / 2 : n / 2);

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** 53-bit hash (cyrb53, public domain, after MurmurHash3's mixing); equal bytes have equal hashes. */
export function hashBytes(bytes: Buffer, from: number, to: number): number {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number;
    h1 = Math.imul(h1 ^ byte, 2654435761);
    h2 = Math.imul(h2 ^ byte, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return 4294967296 * (2097151 & h2) + (h1 >>> 0);
}
