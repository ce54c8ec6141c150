import type { OpenPartition } from '@weir/connect-timescale';

/** A partition that this process owns. */
export interface Held extends OpenPartition {
  /** Readings folded since the last collect. */
  folded: number;
  /** Arrival times of the records since the last collect, epoch milliseconds. */
  samples: number[];
  /** When the first record since the last collect was folded, and since when the log has more; `performance.now()`. */
  foldedSince?: number | undefined;
  behindSince?: number | undefined;
  /** Time behind that is over, milliseconds. */
  behindMs: number;
}

/**
 * The clock by which devices of a partition fall silent. It stands while the log has more: what has not been read
 * yet cannot have been missed, and a backlog would show the open windows of everybody again and again.
 * @param now `performance.now()`
 */
export function silenceClock(
  { behindSince = Number.POSITIVE_INFINITY, behindMs }: Held,
  now: number,
): number {
  return Math.min(now, behindSince) - behindMs;
}

/** Since when something waits. */
export interface Since {
  /** By the arrival of the oldest record at the edge, epoch milliseconds. */
  readonly arrived: number;
  /** On the clock of this process, `performance.now()`: what had waited elsewhere before does not count. */
  readonly here: number;
}
const NOTHING: Since = { arrived: Number.POSITIVE_INFINITY, here: Number.POSITIVE_INFINITY };

/** Samples of one partition for one commit: enough for a percentile, and bounded. */
export const MAX_SAMPLES = 1_000;

/**
 * The owned partitions, and the budget of readings that may be folded but not committed. While a commit prepares
 * (keys of new series, stored rows for late readings) the fold waits, so that what it hands out is of one moment;
 * during the transaction it goes on.
 */
export class Partitions {
  private readonly held = new Map<number, Held>();
  private readonly limit: number;
  private inFlight = 0;
  private inFlightSince = NOTHING;
  private paused = false;
  private ended = false;
  private waiters: (() => void)[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get(partition: number): Held | undefined {
    return this.held.get(partition);
  }
  all(): Held[] {
    return [...this.held.values()];
  }
  hold(held: Held): void {
    this.held.set(held.partition, held);
  }
  release(partitions: Iterable<number>): void {
    for (const partition of partitions) this.held.delete(partition);
    this.wake();
  }
  owns(held: Held): boolean {
    return this.held.get(held.partition) === held;
  }

  /** Half of the budget is folded and waits: a transaction now lets the fold go on with the other half meanwhile. */
  get halfFull(): boolean {
    return this.used - this.inFlight >= this.limit / 2;
  }
  /** Called when a fold made `halfFull` true. */
  onHalfFull: () => void = () => undefined;

  /** Readings folded but not committed. */
  get used(): number {
    let used = this.inFlight;
    for (const held of this.held.values()) used += held.folded;
    return used;
  }
  /** Since when records wait to be committed; null when none does. */
  get oldest(): Since | null {
    let { arrived, here } = this.inFlightSince;
    for (const { samples, foldedSince, behindSince } of this.held.values()) {
      arrived = Math.min(arrived, samples[0] ?? arrived);
      here = Math.min(here, foldedSince ?? here, behindSince ?? here);
    }
    return arrived === Number.POSITIVE_INFINITY ? null : { arrived, here };
  }
  get waiting(): boolean {
    return this.waiters.length > 0;
  }

  /** True at once when there is room and the fold is not paused; used before each record. */
  get free(): boolean {
    return this.ended || (!this.paused && this.used < this.limit);
  }
  /** Resolves when the fold may go on. */
  async room(): Promise<void> {
    while (!this.free) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  /** Runs `work` while the fold waits. */
  async whilePaused<T>(work: () => Promise<T>): Promise<T> {
    this.paused = true;
    try {
      return await work();
    } finally {
      this.paused = false;
      this.wake();
    }
  }
  /** Readings handed out for a transaction, and since when they wait; 0 when it ended. */
  setInFlight(readings: number, since: Since = NOTHING): void {
    this.inFlight = readings;
    this.inFlightSince = since;
    this.wake();
  }
  /** Lets every waiting fold go, for the stop. */
  end(): void {
    this.ended = true;
    this.wake();
  }
  get isEnded(): boolean {
    return this.ended;
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    // Not at once: when half of the budget waits already, the next transaction is handed out first, so that the
    // database has work while the fold goes on.
    setImmediate(() => {
      for (const waiter of waiters) waiter();
    });
  }
}
