import { uptime } from 'node:os';

/** Where a clock gets its times from, milliseconds. */
export interface TimeSources {
  /** Time of day since 1970. Whoever keeps the host's clock may set it. */
  wall(): number;
  /** Runs on evenly; stands still while the machine sleeps. */
  monotonic(): number;
  /** Runs on evenly, also while the machine sleeps. */
  sinceBoot(): number;
}

const HOST: TimeSources = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  sinceBoot: () => uptime() * 1_000,
};

/** 0.5 %: a step of 30 s is taken in over 100 minutes, and no second of arrivals is longer or shorter than by 5 ms. */
const SLEW = 0.005;
/** A larger step is no correction: the clock had never been set. */
const JUMP_MS = 900_000;
/** Reading two clocks one after the other differs by so much. */
const NOISE_MS = 2;
const SLEEP_MS = 1_000;

/**
 * The time of arrivals: begins at the wall clock and goes on by the monotonic one, so that setting the host's clock
 * throws no reading without a stamp of its own into another window. A difference is taken in slowly (as adjtime(3)
 * does); at once only one of more than 15 minutes, and the time for which the machine slept. Never goes back, but for
 * such a jump.
 */
export class ArrivalClock {
  readonly #sources: TimeSources;
  /** Added to the monotonic clock. */
  #offset: number;
  #last = 0;
  #checked: { monotonic: number; sinceBoot: number };

  constructor(sources: TimeSources = HOST) {
    this.#sources = sources;
    this.#offset = sources.wall() - sources.monotonic();
    this.#checked = { monotonic: sources.monotonic(), sinceBoot: sources.sinceBoot() };
  }

  /** Whole epoch milliseconds. */
  now(): number {
    const time = Math.floor(this.#sources.monotonic() + this.#offset);
    if (time > this.#last) this.#last = time;
    return this.#last;
  }

  /**
   * Follows the wall clock; call it about every second. Returns how far the wall clock is ahead of this one,
   * milliseconds, and whether it jumped there.
   */
  follow(): { readonly ahead: number; readonly jumped: boolean } {
    const monotonic = this.#sources.monotonic();
    const sinceBoot = this.#sources.sinceBoot();
    const passed = monotonic - this.#checked.monotonic;
    const slept = sinceBoot - this.#checked.sinceBoot - passed;
    this.#checked = { monotonic, sinceBoot };
    if (slept > SLEEP_MS) this.#offset += slept;
    const ahead = this.#sources.wall() - monotonic - this.#offset;
    if (Math.abs(ahead) > JUMP_MS) {
      this.#offset += ahead;
      this.#last = 0;
      return { ahead, jumped: true };
    }
    const most = passed * SLEW;
    if (Math.abs(ahead) > NOISE_MS) this.#offset += Math.max(-most, Math.min(most, ahead));
    return { ahead, jumped: false };
  }
}
