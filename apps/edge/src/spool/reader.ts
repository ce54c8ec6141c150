import type { DurableFs } from '@weir/flow';
import type { Drop, Saved } from './cursor.ts';
import type { FrameKey } from './frame.ts';
import type { Place, RecentMemory } from './memory.ts';
import { type Damage, SegmentScan } from './scan.ts';
import type { Segment, SegmentList } from './segment.ts';
import type { Destination, Mark, Note, SpoolReader, SpoolRecord } from './types.ts';

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

/**
 * One destination's way through the spool: from memory when it is caught up, else from disk. The way to the critical
 * lane passes over all other records by a byte of their frames.
 */
export class CursorReader implements SpoolReader {
  readonly #host: ReaderHost;
  #place: Place;
  #scan: { segment: Segment; scan: SegmentScan } | null = null;
  #committed: number;
  /** While holding: what may be forgotten. */
  #released: number | null = null;
  #rewinds = 0;
  #isRewindDue = false;
  #handedOut: number;
  /** What was handed out but not committed. */
  #open: readonly SpoolRecord[] = [];
  #committedAt: number | null = null;
  #reading = false;
  readonly note: Note | null;
  /** Of the newest commit. */
  #note: Note | null;
  #drops: readonly Drop[];
  readonly #criticalOnly: boolean;
  readonly #waiting = new Set<{ readonly n: number; readonly arrived: () => void }>();
  #wake: (() => void) | null = null;

  constructor(host: ReaderHost, name: Destination, start: Saved) {
    const committed = start[name];
    this.#host = host;
    this.#criticalOnly = name === 'critical';
    this.note = start.notes?.[name] ?? null;
    this.#note = this.note;
    this.#drops = start.drops?.[name] ?? [];
    this.#committed = committed;
    this.#handedOut = committed;
    this.#place = this.#placeBehind(committed);
  }
  /** Nothing up to here is read again, after a restart either. */
  get saved(): number {
    return this.#released ?? this.#committed;
  }
  /** A note belongs to its commit, which is the one that is saved unless the reader holds. */
  get savedNote(): Note | null {
    return this.#note;
  }
  /** What a later position asks for; earlier ones are in the first. */
  get drops(): readonly Drop[] {
    const passed = this.#drops.findLastIndex(({ n }) => n <= this.saved);
    if (passed > 0) this.#drops = this.#drops.slice(passed);
    return this.#drops;
  }
  droppedUpTo(n: number): number {
    return this.#drops.findLast((drop) => drop.n <= n)?.total ?? 0;
  }
  /** The policy drops `readings` of this reader with a segment up to `n` that it has not come to. */
  drop(n: number, readings: number): void {
    const total = (this.#drops.at(-1)?.total ?? 0) + readings;
    this.#drops = [...this.#drops, { n, total }];
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
        if (this.#isRewindDue && records.length === 0) this.#goBack();
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
        }
        if (records.length === 0) this.#settlePassed();
      }
      if (records.length === 0) return records;
      this.#open = this.#open.length === 0 ? records : [...this.#open, ...records];
      this.#host.moved();
      return records;
    } finally {
      this.#reading = false;
    }
  }

  commit(n: number, note?: Note): void {
    if (n > this.#handedOut)
      throw new Error(`commit of ${n}, but only records up to ${this.#handedOut} were read`);
    if (n <= this.#committed) return;
    if (note !== undefined) this.#note = note;
    const open = this.#open.findIndex((record) => record.n > n);
    this.#committedAt = this.#open.at(open < 0 ? -1 : open - 1)?.at ?? null;
    this.#open = open < 0 ? [] : this.#open.slice(open);
    this.#commitUpTo(open < 0 && !this.#reading ? this.#handedOut : n);
  }
  /** Nobody needs what was passed over behind the last commit. */
  #settlePassed(): void {
    if (this.#open.length > 0 || this.#handedOut <= this.#committed) return;
    this.#committedAt = null;
    this.#commitUpTo(this.#handedOut);
  }
  #commitUpTo(n: number): void {
    this.#committed = n;
    for (const each of this.#waiting) if (this.#arrived >= each.n) each.arrived();
    this.#host.moved();
  }
  /** Everything up to here arrived, and nobody wants it again. */
  get #arrived(): number {
    return this.#isRewindDue ? this.saved : this.#committed;
  }
  async reached(n: number, signal: AbortSignal): Promise<void> {
    if (this.#arrived >= n || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const waiter = { n, arrived: (): void => end() };
      const end = (): void => {
        signal.removeEventListener('abort', end);
        this.#waiting.delete(waiter);
        resolve();
      };
      signal.addEventListener('abort', end, { once: true });
      this.#waiting.add(waiter);
    });
  }

  get behind(): SpoolReader['behind'] {
    const { records, bytes } = this.#extent(this.#committed, Number.POSITIVE_INFINITY);
    return { records, bytes, oldestAt: records === 0 ? null : (this.#open[0]?.at ?? this.#committedAt) };
  }

  hold(): void {
    this.#released ??= this.#committed;
  }
  get held(): SpoolReader['held'] {
    const { records, keptBytes } = this.#extent(this.saved, this.#committed);
    return { records, bytes: keptBytes };
  }
  mark(): Mark {
    return { n: this.#arrived, rewinds: this.#rewinds };
  }
  release({ n, rewinds }: Mark): void {
    if (this.#released === null || rewinds !== this.#rewinds || n <= this.#released) return;
    this.#released = n;
    this.#host.moved();
  }
  rewind(): void {
    this.#rewinds++;
    this.#isRewindDue = true;
    this.#wake?.();
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

  /** Records after one n and up to another that are for this reader, and the bytes of all records there. */
  #extent(after: number, upTo: number): { records: number; bytes: number; keptBytes: number } {
    let records = 0;
    let bytes = 0;
    let keptBytes = 0;
    for (const { firstN, lastN, bytes: size, counts } of this.#host.segments.all) {
      const inside = Math.min(upTo, lastN) - Math.max(after, firstN - 1);
      if (inside <= 0) continue;
      // Within a segment by proportion: frames of one installation are of similar size.
      const share = inside / (lastN - firstN + 1);
      const own = this.#criticalOnly ? counts?.critical : undefined;
      keptBytes += Math.round(size * share);
      records += own === undefined ? inside : Math.ceil(own.records * share);
      bytes += Math.round((own?.bytes ?? size) * share);
    }
    return { records, bytes, keptBytes };
  }
  #placeBehind(n: number): Place {
    const segment = this.#host.segments.holding(n + 1);
    if (segment === undefined) throw new Error('a spool has at least one segment');
    return { segment, offset: n >= segment.lastN ? segment.bytes : 0 };
  }
  #goBack(): void {
    this.#isRewindDue = false;
    this.#committed = this.saved;
    this.#handedOut = this.#committed;
    this.#open = [];
    this.#committedAt = null;
    this.#place = this.#placeBehind(this.#committed);
  }
  #leave(segment: Segment, after: Segment): void {
    // Known for certain only now, when an earlier process wrote it: its name tells where the next one begins.
    if (this.#handedOut >= segment.firstN) segment.lastN = Math.min(segment.lastN, this.#handedOut);
    this.#place = { segment: after, offset: 0 };
  }
  #fromMemory(maxBytes: number): SpoolRecord[] | undefined {
    const found = this.#host.memory.read(this.#place, maxBytes, this.#criticalOnly);
    if (found === undefined) return undefined;
    this.#place = { segment: this.#place.segment, offset: found.offset };
    // After a rewind the place may lie before the record to go on with.
    const from = this.#handedOut;
    this.#handedOut = Math.max(from, found.lastN);
    return (found.records[0]?.n ?? 0) > from ? found.records : found.records.filter(({ n }) => n > from);
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
    this.#handedOut = Math.max(this.#handedOut, scan.seenN);
    if (this.#place.offset >= segment.bytes) await this.#endScan();
    return records;
  }
  async #beginScan(segment: Segment, offset: number): Promise<SegmentScan> {
    return new SegmentScan(await this.#host.fs.open(segment.path, 'read'), {
      key: this.#host.key,
      from: offset,
      lastN: offset === 0 ? segment.firstN - 1 : this.#handedOut,
      skipTo: this.#handedOut,
      criticalOnly: this.#criticalOnly,
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
    // The durable end, or this reader, may have moved while the scan was being closed.
    if (
      this.#isRewindDue ||
      signal.aborted ||
      offset < segment.bytes ||
      this.#host.segments.after(segment) !== undefined
    )
      return;
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
