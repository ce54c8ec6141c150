import {
  type FrameKey,
  frameN,
  frameSize,
  HEADER_BYTES,
  isCriticalFrame,
  readFrame,
  writeFrame,
} from './frame.ts';
import { countCritical, noCounts, type Segment, type SegmentCounts } from './segment.ts';
import type { Done, SpoolEntry, SpoolRecord } from './types.ts';

const CHUNK_BYTES = 256 << 10;

/** Bytes of one chunk, from `start` to `end`. */
export interface Slice {
  readonly buffer: Buffer;
  readonly start: number;
  end: number;
}

/** What one write and one fsync make durable together. */
export interface Group {
  readonly slices: Slice[];
  readonly dones: Done[];
  bytes: number;
  records: number;
  readonly counts: SegmentCounts;
  firstN: number;
  lastN: number;
}

/**
 * Gathers appends into chunks. A chunk goes on being filled while its front is being written, and later serves
 * forwarders that are caught up, so a body is copied once.
 */
export class Gathering {
  readonly #key: FrameKey;
  #chunk: Buffer = Buffer.alloc(0);
  #used = 0;
  #group: Group = newGroup();

  constructor(key: FrameKey) {
    this.#key = key;
  }
  get bytes(): number {
    return this.#group.bytes;
  }
  get empty(): boolean {
    return this.#group.dones.length === 0 && this.#group.records === 0;
  }
  add(entry: SpoolEntry, n: number, now: () => number, done: Done | undefined): void {
    const size = HEADER_BYTES + entry.body.length;
    const group = this.#group;
    if (this.#used + size > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, size));
      this.#used = 0;
    }
    const start = this.#used;
    writeFrame(this.#chunk, start, this.#key, n, now, entry);
    this.#used += size;
    const last = group.slices.at(-1);
    if (last !== undefined && last.buffer === this.#chunk) last.end = this.#used;
    else group.slices.push({ buffer: this.#chunk, start, end: this.#used });
    if (group.records === 0) group.firstN = n;
    group.lastN = n;
    group.records++;
    group.counts.readings += entry.count;
    if (entry.critical) countCritical(group.counts, entry.count, size);
    group.bytes += size;
    if (done !== undefined) group.dones.push(done);
  }
  /** `done` has its turn behind what is gathered, though nothing is written for it. */
  addDoneOnly(done: Done): void {
    this.#group.dones.push(done);
  }
  take(): Group {
    const group = this.#group;
    this.#group = newGroup();
    return group;
  }
}

function newGroup(): Group {
  return { slices: [], dones: [], bytes: 0, records: 0, counts: noCounts(), firstN: 0, lastN: 0 };
}

/** A place in the spool: the start of a frame, or the end of the segment's durable bytes. */
export interface Place {
  readonly segment: Segment;
  readonly offset: number;
}

interface Recent extends Slice {
  readonly segment: Segment;
  /** Place of `start` in the segment's file. */
  readonly offset: number;
}

const endOf = (recent: Recent): number => recent.offset + recent.end - recent.start;

/** The newest durable records, for forwarders that are caught up; bounded in bytes, the oldest go first. */
export class RecentMemory {
  readonly #limit: number;
  readonly #slices: Recent[] = [];
  bytes = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }
  /** Takes in slices that became durable at `offset` of `segment`. */
  add(segment: Segment, offset: number, slices: readonly Slice[]): void {
    let at = offset;
    for (const { buffer, start, end } of slices) {
      const last = this.#slices.at(-1);
      if (last?.buffer === buffer && last.end === start && last.segment === segment) last.end = end;
      else this.#slices.push({ buffer, start, end, segment, offset: at });
      at += end - start;
      this.bytes += end - start;
    }
    while (this.bytes > this.#limit) this.#shift();
  }
  /** Lets go of what lies before the place of every reader that reads from here. */
  release(places: readonly Place[]): void {
    for (let first = this.#slices[0]; first !== undefined; first = this.#slices[0]) {
      const { segment, offset } = first;
      const readers = places.filter((place) =>
        place.segment === segment ? place.offset >= offset : place.segment.firstN > segment.firstN,
      );
      const end = endOf(first);
      if (readers.length === 0 || readers.some((p) => p.segment === segment && p.offset < end)) return;
      this.#shift();
    }
  }
  /**
   * Records from `place` on, or the critical ones among them, the place behind what was looked at, and the n of the
   * record before it; undefined when they are on disk only.
   */
  read(
    place: Place,
    maxBytes: number,
    criticalOnly: boolean,
  ): { records: SpoolRecord[]; offset: number; lastN: number } | undefined {
    const recent = this.#slices.find(
      (slice) =>
        slice.segment === place.segment && slice.offset <= place.offset && endOf(slice) > place.offset,
    );
    if (recent === undefined) return undefined;
    const records: SpoolRecord[] = [];
    let at = recent.start + place.offset - recent.offset;
    let last = at;
    let bytes = 0;
    while (at < recent.end) {
      const size = frameSize(recent.buffer, at);
      if (!criticalOnly || isCriticalFrame(recent.buffer, at)) {
        bytes += size - HEADER_BYTES;
        if (records.length > 0 && bytes > maxBytes) break;
        records.push(readFrame(recent.buffer, at));
      }
      last = at;
      at += size;
    }
    return { records, offset: recent.offset + at - recent.start, lastN: frameN(recent.buffer, last) };
  }
  #shift(): void {
    const slice = this.#slices.shift();
    if (slice !== undefined) this.bytes -= slice.end - slice.start;
  }
}
