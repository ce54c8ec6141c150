import { setTimeout as delay } from 'node:timers/promises';
import type { DurableFile } from '@weir/flow';
import { WeirError } from '@weir/flow';
import { HopTime } from '@weir/observe';
import { assemble, type Parts } from './assemble.ts';
import { diskError, writeAll } from './files.ts';
import { HEADER_BYTES, MAX_BODY_BYTES } from './frame.ts';
import { lockFolder } from './lock.ts';
import type { Group } from './memory.ts';
import type { CursorReader } from './reader.ts';
import type { Retention } from './retention.ts';
import type { Damage } from './scan.ts';
import type { Segment } from './segment.ts';
import type {
  Destination,
  Done,
  SpoolEntry,
  SpoolOptions,
  SpoolReader,
  SpoolState,
  SpoolStats,
} from './types.ts';

/**
 * Least time from one group to the next: a write, an fsync and the answers cost the same for one record as for fifty. Who
 * comes alone does not wait.
 */
const GROUP_MS = 4;
/** Of maxBytes, kept for critical records by `prioritize`. */
const CRITICAL_RESERVE = 0.1;

/**
 * Store and forward: what is appended is acknowledged (`done(null)`) once it is durable, and read by each
 * destination at its own pace.
 */
export class Spool {
  readonly sourceId: string;
  readonly #options: SpoolOptions;
  readonly #now: () => number;
  readonly #parts: Parts;
  readonly #time: HopTime;
  readonly #readers: Readonly<Record<Destination, CursorReader>>;
  readonly #retention: Retention;
  readonly #unlock: () => Promise<void>;
  readonly #reported = new Set<string>();
  readonly #freeListeners = new Set<() => void>();
  #active: { segment: Segment; file: DurableFile };
  #nextN: number;
  #counted: number;
  #durable: number;
  #inFlightBytes = 0;
  #state: SpoolState = 'free';
  /** The largest that was refused, and the widest bound that something did not fit under. */
  #refused = { size: 0, limit: 0 };
  #committing: Promise<void> | null = null;
  #groupAt = Number.NEGATIVE_INFINITY;
  #failure: WeirError | null = null;
  #closed = false;

  /** Throws `WEIR_SPOOL_CORRUPT`, `WEIR_SPOOL_FSYNC` or `WEIR_STATE` with a sentence that says what to do. */
  static async open(options: SpoolOptions): Promise<Spool> {
    let unlock = async (): Promise<void> => {};
    try {
      // a file system of a test's own is nobody else's
      if (options.fs === undefined) unlock = await lockFolder(options.dir);
      return new Spool(options, await assemble(options), unlock);
    } catch (error) {
      await unlock();
      throw diskError('opening the spool', options.dir, error);
    }
  }

  private constructor(options: SpoolOptions, parts: Parts, unlock: () => Promise<void>) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#unlock = unlock;
    this.#parts = parts;
    this.#time = options.time ?? new HopTime();
    this.#active = parts.active;
    this.#nextN = parts.nextN;
    this.#counted = parts.counted;
    this.#durable = parts.counted;
    this.sourceId = parts.id;
    this.#readers = parts.readers({
      damaged: (segment, damage) => this.#damaged(segment, damage),
      moved: () => this.#moved(),
    });
    this.#retention = parts.retention(
      this.#readers,
      () => this.#durable,
      () => this.#relax(),
      (error) => this.#fail(error),
    );
  }

  get state(): SpoolState {
    return this.#state;
  }
  get stats(): SpoolStats {
    const { segments, memory } = this.#parts;
    return {
      usedBytes: this.#usedBytes,
      limitBytes: this.#options.maxBytes,
      segments: segments.all.length,
      pendingBytes: this.#pendingBytes,
      memoryBytes: memory.bytes,
      lastN: this.#nextN - 1,
    };
  }
  /** The n of the next append that is taken, for synchronous use. */
  nextN(): number {
    return this.#nextN;
  }
  /** Readings and refused messages that were taken in the life of this spool, for synchronous use. */
  counted(): number {
    return this.#counted;
  }
  /** It was empty, and never had anything in it. */
  get isNew(): boolean {
    return this.#parts.isNew;
  }
  /** Newest append time in the newest segment that the spool was opened with; 0 when that is empty. */
  get resumedAt(): number {
    return this.#parts.newestAt;
  }
  /** On the clock that stamps the appends, epoch milliseconds. */
  now(): number {
    return this.#now();
  }
  reader(name: Destination): SpoolReader {
    return this.#readers[name];
  }
  /** Calls `listener` whenever refused appends may be tried again. */
  onFree(listener: () => void): () => void {
    this.#freeListeners.add(listener);
    return () => {
      this.#freeListeners.delete(listener);
    };
  }

  /**
   * Takes a record in; `done` is called in the order of the appends, after the fsync. False: not taken, wait for
   * `onFree`. Throws for a body over 16 MiB or a quarter of the spool, and after `close`. Without `done`: `afterwards`
   * is to be called in the same turn.
   */
  append(entry: SpoolEntry, done?: Done): boolean {
    const size = HEADER_BYTES + entry.body.length;
    const { maxBytes, whenFull } = this.#options;
    const { gathering, pendingLimit, segmentBytes } = this.#parts;
    if (this.#failure !== null) {
      if (done !== undefined) this.afterwards(done);
      return true;
    }
    if (this.#closed) throw new WeirError('WEIR_STATE', 'fatal', 'appending to a spool that is closed');
    if (entry.body.length > MAX_BODY_BYTES || size > maxBytes / 4) {
      throw new WeirError('WEIR_RANGE', 'data', `a record of ${size} bytes is too large for the spool`);
    }
    const pending = this.#pendingBytes;
    if (pending > 0 && pending + size > pendingLimit) return this.#refuse('throttled', size, maxBytes);
    const used = this.#usedBytes;
    if (whenFull === 'drop-oldest' && used + size > maxBytes - segmentBytes) this.#makeRoom(size);
    const limit = whenFull === 'prioritize' && !entry.critical ? maxBytes * (1 - CRITICAL_RESERVE) : maxBytes;
    if (used + size > limit) {
      if (whenFull !== 'drop-newest') return this.#refuse('blocked', size, limit);
      this.#options.onDropped?.({
        reason: 'spool-drop-newest',
        destination: null,
        records: 1,
        readings: entry.count,
      });
      if (done !== undefined) gathering.addDoneOnly(done);
    } else {
      gathering.add(entry, this.#nextN++, this.#now, done);
      this.#counted += entry.count;
    }
    this.#committing ??= this.#commitGroups();
    return true;
  }

  /** `done` is called as that of a record would be that is appended now: it speaks for all before it. */
  afterwards(done: Done): void {
    if (this.#failure !== null) {
      queueMicrotask(() => done(this.#failure));
      return;
    }
    this.#parts.gathering.addDoneOnly(done);
    this.#committing ??= this.#commitGroups();
  }

  /** Makes everything that was taken durable and saves the cursors. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#committing;
    await Promise.all(Object.values(this.#readers).map((reader) => reader.close()));
    if (this.#failure === null) await this.#retention.flush();
    await this.#active.file.close();
    await this.#unlock();
  }

  get #pendingBytes(): number {
    return this.#parts.gathering.bytes + this.#inFlightBytes;
  }
  get #usedBytes(): number {
    return this.#parts.segments.bytes + this.#pendingBytes;
  }

  /** One group at a time: while it is written and made durable, the next one gathers. */
  async #commitGroups(): Promise<void> {
    const { gathering } = this.#parts;
    // Everything that one turn of the event loop brings belongs to the first group.
    await new Promise((resolve) => setImmediate(resolve));
    while (!gathering.empty && this.#failure === null) {
      const rest = this.#groupAt + GROUP_MS - performance.now();
      if (rest > 0 && !this.#closed) await delay(rest);
      this.#groupAt = performance.now();
      const group = gathering.take();
      this.#inFlightBytes = group.bytes;
      try {
        if (group.records > 0) await this.#time.during('sink', () => this.#write(group));
      } catch (error) {
        this.#fail(diskError('writing the spool', this.#options.dir, error));
      }
      this.#inFlightBytes = 0;
      for (const done of group.dones) done(this.#failure);
      for (const reader of Object.values(this.#readers)) reader.wake();
      this.#relax();
    }
    if (this.#failure !== null) for (const done of gathering.take().dones) done(this.#failure);
    this.#committing = null;
  }

  async #write(group: Group): Promise<void> {
    const { segments, memory, segmentBytes } = this.#parts;
    const began = performance.now();
    if (this.#active.segment.bytes >= segmentBytes) {
      const next = await segments.create(group.firstN);
      await this.#active.file.close();
      this.#active = next;
    }
    const { segment, file } = this.#active;
    const offset = segment.bytes;
    await writeAll(
      file,
      group.slices.map(({ buffer, start, end }) => buffer.subarray(start, end)),
      offset,
    );
    await file.datasync();
    segments.grow(segment, group.bytes, group.lastN, group.counts);
    this.#durable += group.counts.readings;
    memory.add(segment, offset, group.slices);
    this.#options.onGroup?.({
      records: group.records,
      bytes: group.bytes,
      seconds: (performance.now() - began) / 1000,
    });
  }

  #refuse(state: 'throttled' | 'blocked', size: number, limit: number): false {
    if (this.#state !== 'blocked') this.#state = state;
    const { size: largest, limit: widest } = this.#refused;
    this.#refused = { size: Math.max(size, largest), limit: Math.max(limit, widest) };
    return false;
  }
  #relax(): void {
    if (this.#state === 'free' || this.#failure !== null) return;
    const { size, limit } = this.#refused;
    const pending = this.#pendingBytes;
    const flows = pending === 0 || pending + size <= this.#parts.pendingLimit / 2;
    if (!flows) return;
    if (this.#usedBytes + size > limit) {
      // What waited for the disk finds the spool full.
      this.#state = 'blocked';
      if (this.#options.whenFull === 'drop-oldest') this.#makeRoom(size);
      return;
    }
    this.#state = 'free';
    this.#refused = { size: 0, limit: 0 };
    for (const listener of [...this.#freeListeners]) listener();
  }
  #makeRoom(size: number): void {
    const { maxBytes } = this.#options;
    this.#retention.makeRoom(() => this.#usedBytes + size <= maxBytes - this.#parts.segmentBytes);
  }
  #moved(): void {
    this.#parts.memory.release(Object.values(this.#readers).map((reader) => reader.place));
    if (this.#closed) return;
    this.#retention.moved(this.#state === 'blocked');
    if (this.#options.whenFull === 'drop-oldest' && this.#state === 'blocked')
      this.#makeRoom(this.#refused.size);
  }
  #damaged(segment: Segment, damage: Damage): void {
    const place = `${segment.path}:${damage.from}`;
    if (this.#reported.has(place) || this.#reported.size > 10_000) return; // every reader comes by
    this.#reported.add(place);
    this.#options.onCorrupt?.({
      file: segment.path,
      position: damage.from,
      bytes: damage.to - damage.from,
      records: (damage.nextN ?? segment.lastN + 1) - damage.lastN - 1,
    });
  }
  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure =
      error instanceof WeirError ? error : diskError('writing the spool', this.#options.dir, error);
    this.#state = 'blocked';
    this.#options.onFatal(this.#failure);
  }
}
