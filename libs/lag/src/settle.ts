import type { LagRule, LagVerdict } from '@weir/api';
import { unmeasured } from './rules.ts';
import type { Finding, Limits } from './types.ts';

/** How bad a verdict is. UNKNOWN says nothing about the consumer, so it ranks below what is known to be wrong. */
export const RANK: Readonly<Record<LagVerdict, number>> = {
  OK: 0,
  UNKNOWN: 1,
  WARN: 2,
  REWIND: 3,
  ERR: 4,
  STALL: 5,
  STOP: 6,
};

/** A verdict that has settled, and what may come after it. Times in epoch milliseconds. */
export interface Settled {
  readonly verdict: LagVerdict;
  readonly rule: LagRule;
  readonly since: number;
  /** Since when findings have been worse than the verdict, or better; null: they agree with it. */
  readonly change: { readonly direction: 'worse' | 'better'; readonly since: number } | null;
}

/**
 * Hold and hysteresis: it gets worse when that has lasted for `holdMs` (at once where the rule has waited itself), and
 * better when that has lasted for `clearMs`. Between known and UNKNOWN there is nothing to wait for.
 */
export function settle(
  before: Settled | null,
  { verdict, rule, holds }: Finding,
  at: number,
  limits: Pick<Limits, 'holdMs' | 'clearMs'>,
): Settled {
  if (before === null && holds) {
    const begun = unmeasured('watching has just begun');
    return { verdict: begun.verdict, rule: begun.rule, since: at, change: { direction: 'worse', since: at } };
  }
  if (before === null) return { verdict, rule, since: at, change: null };
  if (verdict === before.verdict) return { ...before, rule, change: null };
  const worse = RANK[verdict] > RANK[before.verdict];
  const direction = worse ? 'worse' : 'better';
  const since = before.change?.direction === direction ? before.change.since : at;
  const abrupt = before.verdict === 'UNKNOWN' ? !holds : verdict === 'UNKNOWN';
  const waits = abrupt ? 0 : worse ? (holds ? limits.holdMs : 0) : limits.clearMs;
  if (at - since >= waits) return { verdict, rule, since: at, change: null };
  return { ...before, change: { direction, since } };
}
