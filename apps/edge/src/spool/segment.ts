import { join } from 'node:path';
import type { DurableFile, DurableFs } from '@weir/flow';
import { removeFile } from './files.ts';

/** What records hold; of the critical ones also how many they are, and their bytes with their frames. */
export interface SegmentCounts {
  readings: number;
  readonly critical: { records: number; bytes: number; readings: number };
}
export function noCounts(): SegmentCounts {
  return { readings: 0, critical: { records: 0, bytes: 0, readings: 0 } };
}
/** Counts one critical record of `readings` readings and `bytes` bytes. */
export function countCritical({ critical }: SegmentCounts, readings: number, bytes: number): void {
  critical.records++;
  critical.readings += readings;
  critical.bytes += bytes;
}

/** One append-only file. */
export class Segment {
  readonly firstN: number;
  readonly path: string;
  /** Durable bytes. */
  bytes: number;
  /** Highest n inside; `firstN - 1` while it is empty. */
  lastN: number;
  /** What is inside; null when an earlier process wrote it and nobody has counted yet. */
  counts: SegmentCounts | null;

  constructor(firstN: number, path: string, bytes: number) {
    this.firstN = firstN;
    this.path = path;
    this.bytes = bytes;
    this.lastN = firstN - 1;
    this.counts = bytes === 0 ? noCounts() : null;
  }
}

const NAME = /^(\d{16})\.seg$/;

/** All segments of a spool, oldest first. The last one is written to. */
export class SegmentList {
  readonly #fs: DurableFs;
  readonly #dir: string;
  readonly #segments: Segment[] = [];
  /** Bytes of all segments. */
  bytes = 0;

  constructor(fs: DurableFs, dir: string) {
    this.#fs = fs;
    this.#dir = dir;
  }
  /** Takes in the segments of the folder, by their names alone. */
  async load(): Promise<void> {
    for (const name of (await this.#fs.list(this.#dir)).sort()) {
      const match = NAME.exec(name);
      if (match === null) continue;
      const path = join(this.#dir, name);
      const file = await this.#fs.open(path, 'read');
      const bytes = await file.size().finally(() => file.close());
      const segment = new Segment(Number(match[1]), path, bytes);
      const previous = this.last;
      // Exact but for positions that were skipped when a torn tail was cut.
      if (previous !== undefined) previous.lastN = segment.firstN - 1;
      this.#segments.push(segment);
      this.bytes += bytes;
    }
  }
  get all(): readonly Segment[] {
    return this.#segments;
  }
  get last(): Segment | undefined {
    return this.#segments.at(-1);
  }
  after(segment: Segment): Segment | undefined {
    return this.#segments.find(({ firstN }) => firstN > segment.firstN);
  }
  /** The segment to read n from, or the first one behind a gap. */
  holding(n: number): Segment | undefined {
    return this.#segments.find(({ lastN }) => lastN >= n) ?? this.last;
  }
  /** A new last segment, whose name is durable on return. */
  async create(firstN: number): Promise<{ segment: Segment; file: DurableFile }> {
    const path = join(this.#dir, `${String(firstN).padStart(16, '0')}.seg`);
    const file = await this.#fs.open(path, 'create');
    await this.#fs.syncDir(this.#dir);
    const segment = new Segment(firstN, path, 0);
    this.#segments.push(segment);
    return { segment, file };
  }
  /**
   * An empty segment that an earlier process made. That process may have been killed before it made the name
   * durable, and a power cut would then take the name away with all that is written under it.
   */
  async reuse(segment: Segment): Promise<{ segment: Segment; file: DurableFile }> {
    await this.#fs.syncDir(this.#dir);
    return { segment, file: await this.#fs.open(segment.path, 'write') };
  }
  /** From the call on nobody begins to read the segment; its bytes count until it is gone. */
  async remove(segment: Segment): Promise<void> {
    const index = this.#segments.indexOf(segment);
    if (index < 0) return;
    this.#segments.splice(index, 1);
    await removeFile(this.#fs, segment.path);
    this.bytes -= segment.bytes;
  }
  grow(segment: Segment, bytes: number, lastN: number, { readings, critical }: SegmentCounts): void {
    segment.bytes += bytes;
    segment.lastN = lastN;
    if (segment.counts !== null) {
      const { counts } = segment;
      counts.readings += readings;
      counts.critical.records += critical.records;
      counts.critical.readings += critical.readings;
      counts.critical.bytes += critical.bytes;
    }
    this.bytes += bytes;
  }
  cut(segment: Segment, bytes: number): void {
    this.bytes -= segment.bytes - bytes;
    segment.bytes = bytes;
  }
}
