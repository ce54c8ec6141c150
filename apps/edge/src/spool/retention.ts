import type { DurableFs } from '@weir/flow';
import type { CursorFile, Saved } from './cursor.ts';
import { diskError } from './files.ts';
import type { FrameKey } from './frame.ts';
import type { CursorReader } from './reader.ts';
import { inspectSegment } from './recovery.ts';
import { noCounts, type Segment, type SegmentList } from './segment.ts';
import { DESTINATIONS, type Destination, type SpoolEvents } from './types.ts';

export interface RetentionHost extends Pick<SpoolEvents, 'onDropped'> {
  readonly dir: string;
  readonly fs: DurableFs;
  readonly key: FrameKey;
  readonly segments: SegmentList;
  readonly cursors: CursorFile;
  readonly readers: Readonly<Record<Destination, CursorReader>>;
  /** Readings and refused messages that are durable. */
  readonly counted: () => number;
  readonly saveMs: number;
  /** Segments went away. */
  freed(): void;
  failed(error: Error): void;
}

/** Saves the cursors, removes what lies behind all of them, and makes room when the policy says so. */
export class Retention {
  readonly #host: RetentionHost;
  #timer: NodeJS.Timeout | null = null;
  #passing: Promise<void> = Promise.resolve();
  #dropping = false;

  constructor(host: RetentionHost) {
    this.#host = host;
  }
  /** A cursor moved: saves it within `saveMs`, or at once when somebody waits for room. */
  moved(urgent: boolean): void {
    if (this.#timer !== null) {
      if (!urgent) return;
      clearTimeout(this.#timer);
    }
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#passing = this.#passing.then(() => this.#pass()).catch((error: unknown) => this.#fail(error));
      },
      urgent ? 0 : this.#host.saveMs,
    );
    this.#timer.unref();
  }
  /** Saves the cursors as they stand. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#passing;
    await this.#pass();
  }
  /** Begins to drop the oldest segments that no forwarder has in hand, until `fits`. */
  makeRoom(fits: () => boolean): void {
    if (this.#dropping) return;
    this.#dropping = true;
    this.#passing = this.#passing
      .then(() => this.#dropOldest(fits))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#dropping = false;
      });
  }

  async #pass(): Promise<void> {
    const { segments, cursors } = this.#host;
    const now = this.#now();
    await cursors.save(now);
    const slowest = Math.min(...DESTINATIONS.map((name) => now[name]));
    const done = segments.all.filter((segment) => segment !== segments.last && segment.lastN <= slowest);
    for (const segment of done) await segments.remove(segment);
    if (done.length > 0) this.#host.freed();
  }
  #now(): Saved {
    const { readers, counted } = this.#host;
    const { kafka, rabbitmq, critical } = readers;
    const noted = DESTINATIONS.filter((name) => readers[name].savedNote !== null);
    return {
      kafka: kafka.saved,
      rabbitmq: rabbitmq.saved,
      critical: critical.saved,
      counted: counted(),
      notes: Object.fromEntries(noted.map((name) => [name, readers[name].savedNote])),
      drops: Object.fromEntries(DESTINATIONS.map((name) => [name, readers[name].drops])),
    };
  }
  async #dropOldest(fits: () => boolean): Promise<void> {
    const { fs, key, segments } = this.#host;
    while (!fits()) {
      const victim = segments.all.find((segment) => this.#droppable(segment));
      if (victim === undefined) return;
      victim.counts ??= (await inspectSegment(fs, key, victim)).counts;
      if (!this.#droppable(victim)) continue; // a forwarder came to it meanwhile
      const losers = DESTINATIONS.filter((name) => !this.#host.readers[name].hasRead(victim));
      const lost = losers.map((name) => ({ destination: name, ...lostBy(name, victim) }));
      for (const { destination, readings } of lost) {
        this.#host.readers[destination].drop(victim.lastN, readings);
      }
      // Known before it is gone: else a crash in between would make a loss of it.
      await this.#host.cursors.save(this.#now());
      await segments.remove(victim);
      for (const { records, ...each } of lost)
        if (records > 0) this.#host.onDropped?.({ reason: 'spool-drop-oldest', records, ...each });
      this.#host.freed();
    }
  }
  /** What a forwarder has in hand stays, so that every record is either delivered or counted as dropped. */
  #droppable(segment: Segment): boolean {
    const { segments, readers } = this.#host;
    return segment !== segments.last && !DESTINATIONS.some((name) => readers[name].holds(segment));
  }
  #fail(error: unknown): void {
    this.#host.failed(diskError('saving cursors and removing segments of the spool', this.#host.dir, error));
  }
}

/**
 * What is dropped with `segment` for one destination. A record with critical readings counts for the critical lane,
 * with all of its readings: of those that its frame tells of, no one is counted twice.
 */
function lostBy(
  name: Destination,
  { firstN, lastN, counts }: Segment,
): { records: number; readings: number } {
  const records = lastN - firstN + 1;
  const { readings, critical } = counts ?? noCounts();
  if (name === 'critical') return { records: critical.records, readings: critical.readings };
  if (name === 'rabbitmq')
    return { records: records - critical.records, readings: readings - critical.readings };
  return { records, readings };
}
