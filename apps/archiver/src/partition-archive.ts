import { setTimeout as delay } from 'node:timers/promises';
import type { Consumer, KafkaRecord } from '@weir/connect-kafka';
import type { Store } from '@weir/connect-minio';
import { isTransient, retrying, WeirError } from '@weir/flow';
import { parseSent } from '@weir/ledger';
import type { HopTime } from '@weir/observe';
import { archiveKey, RECORD_HEADERS } from '@weir/topology';
import type { Budget } from './budget.ts';
import type { Chunks } from './chunks.ts';
import type { ArchiverEvents } from './events.ts';
import { compressLines } from './steps/compress-lines.ts';
import type { Manifest } from './steps/enter-objects.ts';
import { findResume } from './steps/find-resume.ts';
import { LineBuffer } from './steps/splice-lines.ts';

export interface PartitionOptions {
  readonly store: Store;
  readonly bucket: string;
  readonly budget: Budget;
  readonly chunks: Chunks;
  /** Books the time that compression and the object store take. */
  readonly time: HopTime;
  readonly events: ArchiverEvents;
  readonly commit: Consumer['commit'];
  readonly manifest: Pick<Manifest, 'enter'>;
  /** Uncompressed bytes at which an object is finished. */
  readonly objectSize: number;
  readonly compressionLevel: number;
  /** Aborts when the app stops: from then on nobody waits to take more. */
  readonly hurry: AbortSignal;
  /** An error that a retry cannot mend. */
  readonly onFatal: (error: unknown) => void;
}

interface Open {
  readonly first: Pick<KafkaRecord, 'offset' | 'timestamp'>;
  readonly lines: LineBuffer;
  readonly since: number;
  last: bigint;
  /** Bytes taken from the budget. */
  held: number;
  count: number;
  /** Lines of records that do not say how many readings they hold count as one each. */
  readings: number;
}

/**
 * One partition while it is assigned here: an open object and a queue of finished ones, stored and committed in log
 * order. Whatever is not committed when the partition goes is read again by its next owner.
 */
export class PartitionArchive {
  readonly partition: number;
  readonly #options: PartitionOptions;
  readonly #gone = new AbortController();
  readonly #unwanted: AbortSignal;
  #open: Open | null = null;
  #stored: Promise<void> = Promise.resolve();
  #unstored: { since: number; count: number }[] = [];
  /** Records below are in an object already; null until the first record told where the archive ends. */
  #from: bigint | null = null;
  #live = false;
  /** By edge, up to where its readings are in an object: one that comes again is in the first. */
  readonly #through = new Map<string, number>();

  constructor(partition: number, options: PartitionOptions) {
    this.partition = partition;
    this.#options = options;
    this.#unwanted = AbortSignal.any([this.#gone.signal, options.hurry]);
  }

  get openBytes(): number {
    return this.#open?.held ?? 0;
  }

  /** When the open object got its first record, by `performance.now()`. */
  get openSince(): number | null {
    return this.#open?.since ?? null;
  }

  /** When the oldest record that is not archived yet was taken, by `performance.now()`. */
  get oldest(): number | null {
    return this.#unstored[0]?.since ?? this.openSince;
  }

  /** Takes a batch, of which nothing is needed afterwards. */
  async take(records: readonly KafkaRecord[]): Promise<void> {
    try {
      for (const record of records) {
        if (!this.#live && !(await this.#resume(record))) continue;
        if (this.#gone.signal.aborted) return;
        this.#add(record);
      }
    } catch (error) {
      // Nothing is lost: the records are not committed, and their next owner begins with them.
      if (!this.#unwanted.aborted) throw error;
    }
  }

  /** Waits while all partitions together hold as much as they may; not when the partition goes or the app stops. */
  async room(): Promise<void> {
    if (this.#options.budget.blocked) await this.#options.budget.room(this.#unwanted);
  }

  /** Finishes the open object; it is compressed, stored and committed in the background. */
  finish(): void {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const waiting = { since: open.since, count: open.count };
    this.#unstored.push(waiting);
    this.#stored = this.#stored
      .then(() => this.#store(open))
      .catch((error: unknown) => {
        if (!this.#gone.signal.aborted) this.#options.onFatal(error);
        this.#options.events.linesReturned(open.count);
      })
      .finally(() => {
        this.#unstored = this.#unstored.filter((other) => other !== waiting);
        this.#options.budget.give(open.held);
      });
  }

  /** Finishes what is open and waits until everything is stored and committed, or `signal` aborts. */
  async flush(signal: AbortSignal): Promise<void> {
    this.finish();
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([this.#stored, aborted]);
  }

  /** Drops everything that is not stored. Returns the number of lines dropped. */
  abandon(): number {
    const open = this.#open;
    this.#open = null;
    this.#gone.abort();
    let lines = this.#unstored.reduce((sum, { count }) => sum + count, 0);
    if (open !== null) {
      lines += open.count;
      this.#options.events.linesReturned(open.count);
      this.#options.budget.give(open.held);
    }
    return lines;
  }

  /** False: the record is archived already. */
  async #resume(record: KafkaRecord): Promise<boolean> {
    const { store, bucket, time, events } = this.#options;
    if (this.#from !== null && record.offset < this.#from) return false;
    const last = await this.#persist(
      'look-up',
      () =>
        time.during('sink', () => findResume(store, bucket, this.partition, record.offset, record.timestamp)),
      this.#unwanted,
    );
    if (last === null) {
      this.#live = true;
      return true;
    }
    events.partitionResumed(this.partition, record.offset, last + 1n);
    this.#from = last + 1n;
    // The object is there, so its place is safe to commit, whatever happened to the commit before.
    await this.#persist('commit', () => this.#commit(last + 1n), this.#unwanted);
    return false;
  }

  #add(record: KafkaRecord): void {
    const { budget, events, objectSize } = this.#options;
    this.#open ??= {
      first: { offset: record.offset, timestamp: record.timestamp },
      lines: new LineBuffer(this.partition, this.#options.chunks),
      since: performance.now(),
      last: record.offset,
      held: 0,
      count: 0,
      readings: 0,
    };
    const open = this.#open;
    const { lines, wrapped } = open.lines.add(record);
    if (wrapped) events.recordWrapped(this.partition, record.offset);
    open.last = record.offset;
    open.count += lines;
    open.readings += this.#readingsOf(record, lines);
    events.linesTaken(lines);
    const { allocated } = open.lines;
    budget.take(allocated - open.held);
    open.held = allocated;
    if (open.lines.bytes >= objectSize) this.finish();
  }

  async #store(open: Open): Promise<void> {
    const { store, bucket, compressionLevel, time, events } = this.#options;
    if (this.#gone.signal.aborted) throw this.#gone.signal.reason;
    const { chunks, totals } = open.lines.finish();
    const body = await time.during('work', () => compressLines(chunks, compressionLevel));
    this.#options.chunks.give(chunks);
    const key = archiveKey(this.partition, open.first.offset, open.last, open.first.timestamp);
    // Only a member of the living generation can commit: a process that was frozen while its partition moved on
    // stops here, before it would store records a second time under another key.
    await this.#persist('check-owner', () => this.#commit(open.first.offset));
    const put = () =>
      store.put(bucket, key, body, {
        'schema-version': '1',
        partition: String(this.partition),
        'first-offset': String(open.first.offset),
        'last-offset': String(open.last),
        count: String(totals.lines),
        readings: String(open.readings),
        records: String(totals.records),
        bytes: String(totals.bytes),
        sha256: totals.sha256,
        ...(totals.minAt === null ? {} : { 'min-at': String(totals.minAt), 'max-at': String(totals.maxAt) }),
      });
    await time.during('sink', () => this.#persist('put', put));
    this.#options.manifest.enter({
      ...{ key, partition: this.partition, first: open.first.offset, last: open.last },
      ...{ readings: open.readings, lines: totals.lines, bytes: body.length, storedAt: new Date() },
    });
    await this.#persist('commit', () => this.#commit(open.last + 1n));
    events.objectStored({ key, partition: this.partition, totals, storedBytes: body.length });
  }

  #readingsOf({ headers }: KafkaRecord, lines: number): number {
    const sent = parseSent(headers[RECORD_HEADERS.sent] ?? '');
    if (sent === null) return lines;
    const { edge, since, before, after } = sent;
    const count = `${edge} ${since}`;
    const through = this.#through.get(count) ?? 0;
    this.#through.set(count, Math.max(through, after));
    return Math.max(0, after - Math.max(before, through));
  }

  async #commit(next: bigint): Promise<void> {
    const done = await this.#options.commit(new Map([[this.partition, next]]));
    if (done.includes(this.partition)) return;
    throw new WeirError('WEIR_FENCED', 'transient', `partition ${this.partition} is no longer assigned here`);
  }

  /** Tries until it works, a retry cannot mend it, or the partition goes. */
  async #persist<T>(
    step: Parameters<ArchiverEvents['stepRetried']>[0],
    work: () => Promise<T>,
    signal = this.#gone.signal,
  ): Promise<T> {
    return retrying(work, {
      baseMs: 100,
      maxMs: 5_000,
      signal,
      shouldRetry: isTransient,
      onRetry: (error, attempt) => this.#options.events.stepRetried(step, error, attempt),
    });
  }
}

/** Calls `work` every `everyMs` until `signal` aborts. */
export async function every(everyMs: number, signal: AbortSignal, work: () => void): Promise<void> {
  while (!signal.aborted) {
    work();
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}
