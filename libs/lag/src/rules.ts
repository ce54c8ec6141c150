import type { LagRule, LagVerdict } from '@weir/api';
import { lostOf, type Window } from './figures.ts';
import { type Figures, type Finding, type Limits, type Measurement, WINDOW_MS } from './types.ts';

/** What is known of a partition when it is judged. Times in epoch milliseconds. */
export interface Facts {
  readonly now: Measurement;
  readonly figures: Figures;
  readonly window: Window;
  readonly limits: Limits;
  /** Since when something has waited without a break; null: nothing waits. */
  readonly waitingSince: number | null;
  /** When the committed place last changed; before that: when watching began. */
  readonly movedAt: number;
  /** Since when nobody consumes it; null: somebody does, or the broker does not tell. */
  readonly absentSince: number | null;
  /** Since when somebody may have consumed it; null: nobody does. */
  readonly presentSince: number | null;
  /** Since when records have come while nothing was ever committed, with a consumer there. */
  readonly unansweredSince: number | null;
  /** Place to which the group had come before it went back, until it has come there again. */
  readonly rewoundFrom: number | null;
  /** Since when the group has been between two assignments, without a commit in between. */
  readonly restlessSince: number | null;
  /** How long this group usually takes from one commit to the next while something waits; null: not known yet. */
  readonly strideMs: number | null;
}

/** @param numbers names end in their unit */
type Found = (text: string, numbers: LagRule['numbers']) => Finding;
interface Rule {
  readonly name: string;
  readonly verdict: LagVerdict;
  readonly holds: boolean;
  /** Null: it does not apply. */
  readonly judge: (facts: Facts, found: Found) => Finding | null;
}

const rule = (
  name: string,
  verdict: LagVerdict,
  judge: Rule['judge'],
  { holds = false }: { readonly holds?: boolean } = {},
): Rule => ({ name, verdict, holds, judge });

/** Milliseconds as text. */
const span = (ms: number): string =>
  ms < 10_000
    ? `${(ms / 1_000).toFixed(1)} s`
    : ms < 600_000
      ? `${Math.round(ms / 1_000)} s`
      : ms < 172_800_000
        ? `${Math.round(ms / 60_000)} min`
        : `${Math.round(ms / 86_400_000)} days`;
const many = (items: number): string => `${items} ${items === 1 ? 'record waits' : 'records wait'}`;
const perSecond = (rate: number): string => `${Math.abs(rate) < 10 ? rate.toFixed(1) : Math.round(rate)}/s`;

/** How long a group may commit nothing: a multiple of its own stride, where that is known to be long. */
const stallAfter = ({ limits, strideMs }: Facts): number =>
  Math.max(limits.stallAfterMs, 3 * (strideMs ?? 0));

/** Whether a rebalance explains that nothing moves; not for ever, else a group that never settles would look well. */
export const isExcused = (
  { now, restlessSince }: Pick<Facts, 'now' | 'restlessSince'>,
  ms: number,
): boolean => restlessSince !== null && now.at - restlessSince <= ms;

const behind = (facts: Facts): number | null => {
  const { timeLagMs } = facts.figures;
  return timeLagMs !== null && timeLagMs > facts.limits.allowedLagMs ? timeLagMs : null;
};

/** Whether the lag grew or stayed from each measurement of a full window to the next, and grew as a whole. */
function onlyGrew(window: Window, lagOf: (one: Measurement) => number): boolean {
  const [first, last] = [window[0], window.at(-1)];
  if (first === undefined || last === undefined || last.at - first.at < 0.75 * WINDOW_MS) return false;
  const lags = window.map(lagOf);
  return lags.every((lag, i) => lag > 0 && lag >= (lags[i - 1] ?? 0)) && (lags.at(-1) ?? 0) > (lags[0] ?? 0);
}
const distance = ({ committed, start, end }: Measurement): number =>
  committed === null ? 0 : Math.max(end - Math.max(committed, start), 0);

/**
 * The rules in their order: the first that applies is the finding. They follow Burrow's (linkedin/Burrow,
 * core/internal/evaluator/caching.go, rules 1 to 5, and its wiki page "Consumer Lag Evaluation Rules"), which look at the
 * commits of a sliding window; these look at measurements, know who consumes, and know time.
 * Numbers are those of README.md: rule 1 is the lack of a measurement and stands in `unmeasured`.
 */
const RULES: readonly Rule[] = [
  rule('waits by design', 'OK', ({ now, figures }, found) =>
    now.waitingRoom === true
      ? found('messages wait here by design until their time is over', { lag_items: figures.lag })
      : null,
  ),
  rule('joined and never committed', 'STALL', (facts, found) => {
    const { now, unansweredSince, limits } = facts;
    if (now.committed !== null || unansweredSince === null) return null;
    const ms = now.at - unansweredSince;
    if (ms < limits.stallAfterMs) return null;
    return found(`records have come for ${span(ms)} and nothing was ever committed, with a consumer there`, {
      uncommitted_ms: ms,
      stall_after_ms: limits.stallAfterMs,
      consumers: now.consumers,
    });
  }),
  rule('nothing was ever committed', 'UNKNOWN', ({ now }, found) =>
    now.committed === null
      ? found('the group has committed nothing here, so nobody can say how far it is', {
          start: now.start,
          end: now.end,
        })
      : null,
  ),
  rule('commit beyond the log', 'UNKNOWN', ({ now }, found) =>
    now.committed !== null && now.committed > now.end
      ? found(
          `the committed offset ${now.committed} lies beyond the end ${now.end}: the log was made anew or cut, and the group has not noticed`,
          { committed: now.committed, end: now.end },
        )
      : null,
  ),
  rule('stopped', 'STOP', (facts, found) => {
    const { now, figures, absentSince, movedAt, limits } = facts;
    const lost = lostOf(now);
    if (absentSince === null || ((figures.lag ?? 0) === 0 && lost === 0)) return null;
    const ms = now.at - Math.max(absentSince, movedAt);
    if (ms < limits.stopAfterMs || isExcused(facts, limits.stopAfterMs)) return null;
    return found(`${many(figures.lag ?? 0)} and nobody has consumed for ${span(ms)}`, {
      lag_items: figures.lag,
      lost_items: lost,
      absent_ms: ms,
      stop_after_ms: limits.stopAfterMs,
    });
  }),
  rule('stalled', 'STALL', (facts, found) => {
    const { now, figures, movedAt, waitingSince, presentSince } = facts;
    if (waitingSince === null || presentSince === null || (figures.lag ?? 0) === 0) return null;
    const ms = now.at - Math.max(movedAt, waitingSince, presentSince);
    const limit = stallAfter(facts);
    if (ms < limit) return null;
    return found(
      `${many(figures.lag ?? 0)} and nothing was committed for ${span(ms)}` +
        (facts.restlessSince === null ? '' : ', the group has not settled since its last rebalance'),
      {
        lag_items: figures.lag,
        uncommitted_ms: ms,
        stall_after_ms: limit,
        usual_stride_ms: facts.strideMs,
        consumers: now.consumers,
      },
    );
  }),
  rule('records were lost', 'ERR', ({ now }, found) => {
    const lost = lostOf(now);
    if (lost === 0) return null;
    return found(`retention deleted ${lost} records before the group had read them`, {
      lost_items: lost,
      committed: now.committed,
      start: now.start,
    });
  }),
  rule(
    'rewound',
    'REWIND',
    ({ now, rewoundFrom, figures }, found) => {
      if (rewoundFrom === null || now.committed === null) return null;
      return found(
        `the group went back to ${now.committed}; it had been at ${rewoundFrom} and has not come there again`,
        {
          committed: now.committed,
          before: rewoundFrom,
          again_items: rewoundFrom - now.committed,
          lag_items: figures.lag,
        },
      );
    },
    { holds: true },
  ),
  rule('nothing waits', 'OK', ({ figures, now }, found) =>
    figures.lag === 0 ? found('everything is consumed', { end: now.end }) : null,
  ),
  rule('loss ahead', 'ERR', ({ figures, limits, now }, found) => {
    const { timeToLossMs } = figures;
    const margin = Math.min(limits.lossMarginMs, (now.retentionMs ?? Number.POSITIVE_INFINITY) / 4);
    if (timeToLossMs === null || timeToLossMs >= margin) return null;
    return found(`retention may delete the oldest waiting record in ${span(timeToLossMs)}`, {
      time_to_loss_ms: timeToLossMs,
      margin_ms: margin,
      lag_items: figures.lag,
    });
  }),
  rule(
    'behind and not catching up',
    'ERR',
    (facts, found) => {
      const ms = behind(facts);
      const { velocity, lag } = facts.figures;
      if (ms === null || (velocity !== null && velocity < 0)) return null;
      return found(
        `the oldest waiting record is ${span(ms)} old, beyond the allowed ${span(facts.limits.allowedLagMs)}, and the lag does not shrink` +
          (velocity === null ? '' : ` (${perSecond(velocity)})`),
        { time_lag_ms: ms, allowed_ms: facts.limits.allowedLagMs, velocity_per_s: velocity, lag_items: lag },
      );
    },
    { holds: true },
  ),
  rule(
    'behind and catching up',
    'WARN',
    (facts, found) => {
      const ms = behind(facts);
      const { velocity, etaMs, lag } = facts.figures;
      if (ms === null) return null;
      return found(
        `the oldest waiting record is ${span(ms)} old, beyond the allowed ${span(facts.limits.allowedLagMs)}; caught up in ${span(etaMs ?? 0)}`,
        {
          time_lag_ms: ms,
          allowed_ms: facts.limits.allowedLagMs,
          velocity_per_s: velocity,
          eta_ms: etaMs,
          lag_items: lag,
        },
      );
    },
    { holds: true },
  ),
  rule(
    'falling behind',
    'WARN',
    ({ figures, window, limits }, found) => {
      const { timeLagMs, lag, velocity } = figures;
      if (timeLagMs !== null && timeLagMs <= limits.allowedLagMs / 2) return null;
      if (!onlyGrew(window, distance)) return null;
      return found(
        `the lag has only grown for a minute${velocity === null ? '' : ` (${perSecond(velocity)})`}`,
        {
          lag_items: lag,
          time_lag_ms: timeLagMs,
          velocity_per_s: velocity,
        },
      );
    },
    { holds: true },
  ),
  rule('within the allowed lag', 'OK', ({ figures, limits }, found) =>
    found('what waits has not waited for longer than allowed', {
      lag_items: figures.lag,
      time_lag_ms: figures.timeLagMs,
      allowed_ms: limits.allowedLagMs,
    }),
  ),
];
const FIRST_NUMBER = 2;

/** What the first rule that applies finds. */
export function judge(facts: Facts): Finding {
  for (const [index, { name, verdict, holds, judge: apply }] of RULES.entries()) {
    const number = index + FIRST_NUMBER;
    const finding = apply(facts, (text, numbers) => ({
      verdict,
      holds,
      rule: { number, name, text, numbers },
    }));
    if (finding !== null) return finding;
  }
  throw new Error('the last rule always applies');
}

/** Rule 1. */
export const unmeasured = (why: string): Finding => ({
  verdict: 'UNKNOWN',
  holds: false,
  rule: { number: 1, name: 'not measured', text: why, numbers: {} },
});
