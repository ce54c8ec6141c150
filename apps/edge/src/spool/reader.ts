import type { DurableFs } from '@weir/flow';
import type { FrameKey } from './frame.ts';
import type { Place, RecentMemory } from './memory.ts';
import { type Damage, SegmentScan } from './scan.ts';
import type { Segment, SegmentList } from './segment.ts';
import type { SpoolReader, SpoolRecord } from './types.ts';

/** What a reader needs of its spool. */
export interface ReaderHost {
  readonly fs: DurableFs;
  readonly key: FrameKey;
  readonly segments: SegmentList;
  readonly memory: RecentMemory;
  damaged(segment: Segment, damage: Damage): void;
  /** The reader read on or committed. */
  moved(): void;
}

/** One destination's way through the spool: from memory when it is caught up, else from disk. */
export class CursorReader implements SpoolReader {
  readonly #host: ReaderHost;
  #place: Place;
  #scan: { segment: Segment; scan: SegmentScan } | null = null;
  #committed: number;
  #handedOut: number;
  /** What was handed out but not committed. */
  #open: readonly SpoolRecord[] = [];
  #committedAt: number | null = null;
  #reading = false;
  #wake: (() => void) | null = null;

  constructor(host: ReaderHost, committed: number) {
    this.#host = host;
    this.#committed = committed;
    this.#handedOut = committed;
    const segment = host.segments.holding(committed + 1);
    if (segment === undefined) throw new Error('a spool has at least one segment');
    this.#place = { segment, offset: committed >= segment.lastN ? segment.bytes : 0 };
  }
  get committed(): number {
    return this.#committed;
  }
  get place(): Place {
    return this.#place;
  }

  async next(maxBytes: number, signal: AbortSignal): Promise<SpoolRecord[]> {
    if (this.#reading) throw new Error('next() was called while an earlier call is under way');
    this.#reading = true;
    try {
      const records: SpoolRecord[] = [];
      for (let room = maxBytes; room > 0 && !signal.aborted; ) {
        const { segment, offset } = this.#place;
        if (offset >= segment.bytes) {
          const after = this.#host.segments.after(segment);
          if (after !== undefined) this.#leave(segment, after);
          else if (records.length > 0) break;
          else await this.#appended(signal);
          continue;
        }
        for (const record of this.#fromMemory(room) ?? (await this.#fromDisk(room))) {
          room -= record.body.length + 1; // empty bodies must come to an end, too
          records.push(record);
          this.#handedOut = record.n;
        }
      }
      if (records.length === 0) return records;
      this.#open = this.#open.length === 0 ? records : [...this.#open, ...records];
      this.#host.moved();
      return records;
    } finally {
      this.#reading = false;
    }
  }

  commit(n: number): void {
    if (n > this.#handedOut)
      throw new Error(`commit of ${n}, but only records up to ${this.#handedOut} were read`);
    if (n <= this.#committed) return;
    this.#committed = n;
    const open = this.#open.findIndex((record) => record.n > n);
    this.#committedAt = this.#open.at(open < 0 ? -1 : open - 1)?.at ?? null;
    this.#open = open < 0 ? [] : this.#open.slice(open);
    this.#host.moved();
  }

  get behind(): SpoolReader['behind'] {
    let records = 0;
    let bytes = 0;
    for (const segment of this.#host.segments.all) {
      const waiting = segment.lastN - Math.max(this.#committed, segment.firstN - 1);
      if (waiting <= 0) continue;
      records += waiting;
      // Within a segment by proportion: frames of one installation are of similar size.
      bytes += Math.round((segment.bytes * waiting) / (segment.lastN - segment.firstN + 1));
    }
    return { records, bytes, oldestAt: records === 0 ? null : (this.#open[0]?.at ?? this.#committedAt) };
  }

  /** Whether records of `segment` are, or may at any moment be, in the hands of the forwarder. */
  holds(segment: Segment): boolean {
    const handed = segment.firstN <= this.#handedOut && segment.lastN > this.#committed;
    return handed || segment === this.#place.segment;
  }
  /** Whether everything in `segment` has been read. */
  hasRead(segment: Segment): boolean {
    return segment.lastN <= this.#handedOut;
  }
  /** The durable end moved. */
  wake(): void {
    this.#wake?.();
  }
  async close(): Promise<void> {
    this.wake();
    await this.#endScan();
  }

  #leave(segment: Segment, after: Segment): void {
    // Known for certain only now, when an earlier process wrote it: its name tells where the next one begins.
    if (this.#handedOut >= segment.firstN) segment.lastN = Math.min(segment.lastN, this.#handedOut);
    this.#place = { segment: after, offset: 0 };
  }
  #fromMemory(maxBytes: number): SpoolRecord[] | undefined {
    const found = this.#host.memory.read(this.#place, maxBytes);
    if (found === undefined) return undefined;
    this.#place = { segment: this.#place.segment, offset: found.offset };
    return found.records;
  }

  async #fromDisk(maxBytes: number): Promise<SpoolRecord[]> {
    const { segment, offset } = this.#place;
    if (this.#scan?.segment !== segment || this.#scan.scan.position !== offset) {
      await this.#endScan();
      this.#scan = { segment, scan: await this.#beginScan(segment, offset) };
    }
    const { scan } = this.#scan;
    const records = await scan.next(segment.bytes, maxBytes);
    this.#place = { segment, offset: scan.position };
    if (this.#place.offset >= segment.bytes) await this.#endScan();
    return records;
  }
  async #beginScan(segment: Segment, offset: number): Promise<SegmentScan> {
    return new SegmentScan(await this.#host.fs.open(segment.path, 'read'), {
      key: this.#host.key,
      from: offset,
      lastN: offset === 0 ? segment.firstN - 1 : this.#handedOut,
      skipTo: this.#handedOut,
      onDamage: (damage) => this.#host.damaged(segment, damage),
    });
  }
  async #endScan(): Promise<void> {
    const scan = this.#scan;
    this.#scan = null;
    await scan?.scan.close();
  }
  async #appended(signal: AbortSignal): Promise<void> {
    await this.#endScan();
    const { segment, offset } = this.#place;
    // The durable end may have moved while the scan was being closed.
    if (signal.aborted || offset < segment.bytes || this.#host.segments.after(segment) !== undefined) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#wake = null;
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#wake = wake;
    });
  }
}
