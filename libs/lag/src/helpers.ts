import type { LagCause, LagVerdict } from '@weir/api';

export interface HelperLimits {
  /** How long a group must be behind, and how long a helper has to show an effect, before another one, milliseconds. */
  readonly afterMs: number;
  /** How long all must be well before a helper is ended, milliseconds. */
  readonly overMs: number;
}

/** Another consumer helps against these; against a slow sink, a hot partition or a rebalance it does harm. */
const HELPS: ReadonlySet<LagCause['cause']> = new Set(['input-spike', 'slow-consumer', 'unknown']);

/** Whether a group that is behind gets another consumer, or one too many is ended. One step at a time. */
export class HelperPlan {
  readonly #limits: HelperLimits;
  #behindSince: number | null = null;
  #wellSince: number | null = null;

  constructor(limits: HelperLimits) {
    this.#limits = limits;
  }

  /**
   * @param at epoch milliseconds
   * @param now `helpers`: those that can be ended; `room`: whether there may be one more
   */
  next(
    at: number,
    now: { verdict: LagVerdict; cause: LagCause['cause']; helpers: number; room: boolean },
  ): 'start' | 'stop' | null {
    const { afterMs, overMs } = this.#limits;
    const { verdict, cause, helpers, room } = now;
    const isBehind = (verdict === 'WARN' || verdict === 'ERR') && HELPS.has(cause);
    this.#behindSince = isBehind ? (this.#behindSince ?? at) : null;
    this.#wellSince = verdict === 'OK' ? (this.#wellSince ?? at) : null;
    if (this.#behindSince !== null && at - this.#behindSince >= afterMs && room) {
      this.#behindSince = at;
      return 'start';
    }
    if (this.#wellSince !== null && at - this.#wellSince >= overMs && helpers > 0) {
      this.#wellSince = at;
      return 'stop';
    }
    return null;
  }
}
