import { EDGE_KEYS } from '@weir/topology';
import { type Intake, keyedPart } from '../intake/intake.ts';
import type { AliveDevices } from './alive-devices.ts';

const EVERY_MS = 500;
/** While no alerter has said for a while that it watches: what piles up for it stays small. */
const UNWATCHED_EVERY_MS = 10_000;
const WATCHED_FOR_MS = 30_000;
/** A tick that is late by more, or a clock that goes by more than the timer, is a break: nobody listened. */
const BREAK_MS = 1_000;

const ignore = (): void => {};

export interface LivenessOptions {
  readonly intake: Pick<Intake, 'clock' | 'edge' | 'isBlocked' | 'parked' | 'offer'>;
  readonly alive: Pick<AliveDevices, 'take'>;
  readonly monotonic?: () => number;
}

/**
 * Tells twice a second, or every ten seconds while nobody watches, how far this edge is: whatever it heard up to `at` stands before this in the spool. `since` is
 * when it began to listen to its devices without a break; it begins anew after a start, after the spool took nothing,
 * and after the process stood still. Silence of a device counts only while its edge listens, so nothing is told while
 * it does not. Goes through the spool, behind the readings, so that a backlog holds back both.
 */
export class ProgressReporter {
  readonly #intake: LivenessOptions['intake'];
  readonly #alive: Pick<AliveDevices, 'take'>;
  readonly #monotonic: () => number;
  #since: number | null = null;
  #last = { at: 0, monotonic: 0 };
  #watchedAt = Number.NEGATIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor({ intake, alive, monotonic = () => performance.now() }: LivenessOptions) {
    this.#intake = intake;
    this.#alive = alive;
    this.#monotonic = monotonic;
  }

  start(): void {
    this.tick();
    this.#timer = setInterval(() => this.tick(), EVERY_MS);
    this.#timer.unref();
  }
  /** An alerter says that it watches. */
  watched(): void {
    this.#watchedAt = this.#monotonic();
  }
  /** From now on it does not listen. Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Called by the timer. */
  tick(): void {
    const intake = this.#intake;
    const at = intake.clock.now();
    const monotonic = this.#monotonic();
    const passed = monotonic - this.#last.monotonic;
    const isBreak = passed > EVERY_MS + BREAK_MS || Math.abs(at - this.#last.at - passed) > BREAK_MS;
    this.#last = { at, monotonic };
    if (intake.isBlocked || intake.parked > 0) {
      this.#since = null;
      return;
    }
    const isNew = isBreak || this.#since === null;
    if (isNew) this.#since = at;
    const isWatched = monotonic - this.#watchedAt < WATCHED_FOR_MS;
    if (!isNew && !isWatched && monotonic - this.#toldAt < UNWATCHED_EVERY_MS) return;
    this.#toldAt = monotonic;
    const { edge } = intake;
    const parts = this.#alive
      .take()
      .map((sites) => keyedPart(EDGE_KEYS.alive, { kind: 'alive', edge, at, sites }));
    parts.push(keyedPart(EDGE_KEYS.progress, { kind: 'edge-progress', edge, at, since: this.#since }));
    // when the spool takes nothing after all, the next tick finds it blocked
    intake.offer(parts, ignore);
  }
}
