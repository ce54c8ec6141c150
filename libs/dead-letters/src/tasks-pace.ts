/**
 * A limit of units a second, as the generic cell rate algorithm (ITU-T I.371) keeps it. From the beginning on at most
 * `rate` × time and one batch are taken. Who is held up for less than the burst makes up for it, and so keeps the
 * rate on average. Times are of one monotonic clock, in milliseconds.
 */
export class Pace {
  readonly #msPerUnit: number;
  readonly #burstMs: number;
  /** When the units that were taken so far have passed. */
  #passed: number;

  /**
   * @param rate units a second, more than 0
   * @param burstMs how much time that went by unused can be made up for
   */
  constructor(rate: number, now: number, burstMs = 1_000) {
    this.#msPerUnit = 1_000 / rate;
    this.#burstMs = burstMs;
    this.#passed = now;
  }

  /** How long to wait until units may be taken; 0: now. */
  wait(now: number): number {
    return Math.max(0, this.#passed - now);
  }

  /** Takes units; the next ones wait until these have passed. */
  take(units: number, now: number): void {
    this.#passed = Math.max(this.#passed, now - this.#burstMs) + units * this.#msPerUnit;
  }
}

const MOST = 500;

/** Units to send at a time: about ten times a second, at most 500. */
export function batchSize(rate: number): number {
  return Math.max(1, Math.min(MOST, Math.ceil(rate / 10)));
}

/** Units to book at a time: about once a second, at most 500. */
export function chunkSize(rate: number): number {
  return Math.max(1, Math.min(MOST, Math.ceil(rate)));
}
