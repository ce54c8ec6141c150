/**
 * The threshold rule as a state machine over one series: ok → pending → firing → ok. Pure: the state after a reading
 * depends on the state before and the reading alone, never on a clock, so what a rule finds is a function of the
 * readings and their event times.
 */
export interface ThresholdRule {
  readonly id: string;
  readonly metric: string;
  /** Site, or `*` for all. */
  readonly site: string;
  /** Device, or `*` for all. */
  readonly device: string;
  /** The condition holds above this value, or below that one; at least one is set. */
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  /** A firing alert resolves at this value or beyond on the good side; absent: as soon as the condition is false. */
  readonly clear?: number | undefined;
  /** Event time in milliseconds for which the condition must last, from the first to the newest reading. */
  readonly hold: number;
  readonly severity: 'info' | 'warning' | 'critical';
}

export type RuleState =
  | {
      readonly phase: 'ok';
      /** Event time of the newest reading evaluated, epoch milliseconds. */
      readonly lastTs: number;
    }
  | {
      readonly phase: 'pending' | 'firing';
      /** Event time of the first reading that met the condition without a break. */
      readonly since: number;
      readonly lastTs: number;
    };

/**
 * What a reading did to the alert of its series. `pending`: the condition began. `firing`: it has lasted for the hold
 * time. `resolved`: a firing alert ended. `vanished`: a pending one ended before its time.
 */
export type Transition = 'pending' | 'firing' | 'resolved' | 'vanished';

export interface Step {
  readonly state: RuleState;
  readonly transition?: Transition;
}

export function meetsCondition(rule: ThresholdRule, value: number): boolean {
  return (rule.above !== undefined && value > rule.above) || (rule.below !== undefined && value < rule.below);
}

function isClear(rule: ThresholdRule, value: number): boolean {
  if (meetsCondition(rule, value)) return false;
  if (rule.clear === undefined) return true;
  return rule.above !== undefined ? value <= rule.clear : value >= rule.clear;
}

/** The limit that `value` is measured against; of two, the one it lies beyond or nearer to. */
export function thresholdFor(rule: ThresholdRule, value: number): number {
  const { above, below } = rule;
  if (above === undefined) return below ?? Number.NaN;
  if (below === undefined) return above;
  return value - below < above - value ? below : above;
}

/**
 * Evaluates one reading. A reading that is not newer than the newest evaluated one changes nothing: a message that was
 * sent twice, or that overtook another, gives the same alerts.
 */
export function evaluateReading(
  rule: ThresholdRule,
  before: RuleState | undefined,
  ts: number,
  value: number,
): Step {
  if (before !== undefined && ts <= before.lastTs) return { state: before };
  if (before?.phase === 'firing') {
    if (isClear(rule, value)) return { state: { phase: 'ok', lastTs: ts }, transition: 'resolved' };
    return { state: { phase: 'firing', since: before.since, lastTs: ts } };
  }
  const pending = before?.phase === 'pending';
  if (!meetsCondition(rule, value)) {
    const state = { phase: 'ok', lastTs: ts } as const;
    return pending ? { state, transition: 'vanished' } : { state };
  }
  const since = pending ? before.since : ts;
  if (ts - since >= rule.hold) return { state: { phase: 'firing', since, lastTs: ts }, transition: 'firing' };
  const state = { phase: 'pending', since, lastTs: ts } as const;
  return pending ? { state } : { state, transition: 'pending' };
}
