import { createHash } from 'node:crypto';
import type { LineHead, Reading } from '@weir/reading';

/**
 * Identity of a reading that was too late, for as long as the database stands: the device's own one when it has a
 * stamp and a number, else the place of its line in the edge's spool. 128 bits of SHA-256 in the form of a UUID.
 * @param index of the reading in its line
 */
export function lateIdentity(
  { edge, n, site, device }: LineHead,
  { metric, ts, seq, stamped }: Reading,
  index: number,
): string {
  const own = stamped && seq !== undefined;
  const text = JSON.stringify(own ? [site, device, metric, ts, seq] : [edge, n, index]);
  const hex = createHash('sha256').update(text).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** What a replay says about a reading. */
export interface ForcedReading {
  /** See `lateIdentity`. */
  readonly identity: string;
  /** Record that holds the replay. */
  readonly offset: bigint;
  /** Record that the reading was buried from; null when no record ever held it, as of a payload that the edge refused. */
  readonly origin: bigint | null;
}

/** A forced reading that counts now. */
export interface CountedReading extends ForcedReading {
  readonly seriesId: number;
  /** Epoch milliseconds. */
  readonly ts: number;
  /** Index of the finest level whose row it changes: those below have expired. The number of levels when all have. */
  readonly finest: number;
}

/** A reading that waits until it is known whether it may be counted. */
export interface ParkedReading<Series, Device> {
  readonly device: Device;
  readonly series: Series;
  /** Start of its pane, epoch milliseconds. */
  readonly pane: number;
  readonly ts: number;
  readonly value: number;
  /** Null: a reading of its own right that stands behind a forced one of the same pane. */
  readonly forced: ForcedReading | null;
}

/**
 * Late readings that a replay put into the log again. Each is counted once, for ever: which ones were is kept outside
 * (`settle` is told), so they wait from their fold to the next `collect`. Readings of the same pane that come behind
 * them wait too: a pane takes its readings in log order, wherever the log is cut into commits.
 */
export class ForcedReadings<Series, Device> {
  private parked: ParkedReading<Series, Device>[] = [];
  private readonly panes = new Map<Series, Set<number>>();
  private lateOnes: Set<string> | null = null;

  park(reading: ParkedReading<Series, Device>): void {
    this.parked.push(reading);
    const panes = this.panes.get(reading.series);
    if (panes === undefined) this.panes.set(reading.series, new Set([reading.pane]));
    else panes.add(reading.pane);
  }

  /** Whether a reading of this pane must queue up. */
  holds(series: Series, pane: number): boolean {
    return this.panes.size > 0 && this.panes.get(series)?.has(pane) === true;
  }

  /** About whom `settle` must know, in log order; one identity may occur several times. */
  waiting(): readonly ForcedReading[] {
    return this.parked.flatMap(({ forced }) => forced ?? []);
  }

  /**
   * Ends the waiting: `count` gets every reading that may be counted, in log order. Answers how many were refused.
   * @param refused identities that were counted before, or were never buried
   */
  settle(refused: ReadonlySet<string>, count: (reading: ParkedReading<Series, Device>) => void): number {
    const seen = new Set(refused);
    let again = 0;
    for (const reading of this.parked) {
      const { forced } = reading;
      if (forced !== null && seen.has(forced.identity)) {
        again++;
        continue;
      }
      if (forced !== null) seen.add(forced.identity);
      count(reading);
    }
    this.parked = [];
    this.panes.clear();
    return again;
  }

  /** From now on `takeLate` tells which readings were buried as late. */
  rememberLate(): void {
    this.lateOnes ??= new Set();
  }
  late(head: LineHead, reading: Reading, index: number): void {
    this.lateOnes?.add(lateIdentity(head, reading, index));
  }
  /** Identities of the readings that were buried as late since the last call. */
  takeLate(): ReadonlySet<string> {
    const late = this.lateOnes ?? new Set<string>();
    if (this.lateOnes !== null) this.lateOnes = new Set();
    return late;
  }
}
