export interface ThrottleSettings {
  /** Time lag that is kept, milliseconds; from it on edges are throttled. */
  readonly lagMs: number;
  /** Time in which what is above it is to be worked off, milliseconds. */
  readonly recoveryMs: number;
}

export interface ThrottleInput {
  /** Time lag of the windows; null: not known, and then nobody is throttled. */
  readonly timeLagMs: number | null;
  /** Readings a second that go into the windows; null: not known. */
  readonly drainPerSecond: number | null;
  /** Readings a second that each edge takes in. */
  readonly demands: readonly number[];
}

export interface Throttle {
  /** Readings a second for each edge; null: no bound. */
  readonly ratePerSecond: number | null;
  readonly why: string;
}

/** Never less than this share of what the windows could take when they were well: a slow sink must not stop the archive. */
const FLOOR_SHARE = 0.1;
/** Bounds of the correction in one step, as shares of the drain. */
const LEAST = 0.5;
const MOST = 1.5;
/** Below this share of `lagMs`, with demand below the bound, the throttle ends. */
const END_SHARE = 0.5;
/** Weight of the newest drain rate: a commit comes about every second, a sample every two. */
const NEWEST = 0.4;

/**
 * Proportional control of what edges send to Kafka: as much as the windows take, less while the lag is above its
 * target, more while it is below. At the target the rate equals the drain, so that nothing swings.
 */
export class ThrottleController {
  readonly #settings: ThrottleSettings;
  #throttling = false;
  #drain: number | null = null;
  /** The best drain known: what the floor is measured by. */
  #best = 0;

  constructor(settings: ThrottleSettings) {
    this.#settings = settings;
  }

  next({ timeLagMs, drainPerSecond, demands }: ThrottleInput): Throttle {
    const { lagMs, recoveryMs } = this.#settings;
    if (drainPerSecond !== null) {
      this.#drain =
        this.#drain === null ? drainPerSecond : this.#drain + NEWEST * (drainPerSecond - this.#drain);
      this.#best = Math.max(this.#best, this.#drain);
    }
    if (timeLagMs === null || this.#drain === null) {
      this.#throttling = false;
      return { ratePerSecond: null, why: 'the lag of the windows is not known' };
    }
    const lag = `the windows are ${(timeLagMs / 1_000).toFixed(1)} s behind`;
    if (!this.#throttling && timeLagMs <= lagMs) return { ratePerSecond: null, why: lag };
    const correction = Math.min(MOST, Math.max(LEAST, 1 + (lagMs - timeLagMs) / recoveryMs));
    const total = Math.max(this.#drain * correction, this.#best * FLOOR_SHARE);
    const demand = demands.reduce((sum, one) => sum + one, 0);
    if (timeLagMs < lagMs * END_SHARE && demand <= total) {
      this.#throttling = false;
      return { ratePerSecond: null, why: lag };
    }
    this.#throttling = true;
    const why = `${lag} and take ${Math.round(this.#drain)} readings/s; edges together may send ${Math.round(total)}`;
    return { ratePerSecond: fairBound(total, demands), why };
  }
}

/**
 * The largest bound for each with which all together do not exceed `total`, when nobody takes more than he demands
 * (max-min fairness; Bertsekas and Gallager, Data Networks, 6.5.2). Never less than an even share.
 */
export function fairBound(total: number, demands: readonly number[]): number {
  let left = total;
  const sorted = [...demands].sort((a, b) => a - b);
  for (const [index, demand] of sorted.entries()) {
    const bound = left / (sorted.length - index);
    if (demand >= bound) return bound;
    left -= demand;
  }
  // everybody is below it: what is left is for whoever grows
  return (sorted.at(-1) ?? 0) + left / Math.max(1, sorted.length);
}
