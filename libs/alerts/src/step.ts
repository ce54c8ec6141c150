import type { Observation, RuleState, Step } from './types.ts';

/**
 * The life of an alert: ok → pending → firing → ok, one observation at a time. Pure: the state after it depends on the
 * state before it and on the observation alone, never on a clock, so what a rule finds is a function of what was
 * observed.
 * @param hold milliseconds for which the condition must last, from the first to the newest observation
 */
export function step(
  hold: number,
  before: RuleState | undefined,
  { ts, met, cleared }: Pick<Observation, 'ts' | 'met' | 'cleared'>,
): Step {
  if (before !== undefined && ts <= before.lastTs) return { state: before };
  if (before?.phase === 'firing') {
    if (cleared && !met) return { state: { phase: 'ok', lastTs: ts }, transition: 'resolved' };
    return { state: { phase: 'firing', since: before.since, lastTs: ts } };
  }
  const pending = before?.phase === 'pending';
  if (!met) {
    const state = { phase: 'ok', lastTs: ts } as const;
    return pending ? { state, transition: 'vanished' } : { state };
  }
  const since = pending ? before.since : ts;
  if (ts - since >= hold) return { state: { phase: 'firing', since, lastTs: ts }, transition: 'firing' };
  const state = { phase: 'pending', since, lastTs: ts } as const;
  return pending ? { state } : { state, transition: 'pending' };
}
