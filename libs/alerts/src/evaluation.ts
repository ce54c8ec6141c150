import type { AlertRule, RuleKind } from '@weir/config/alert-rules';
import { alertId, seriesKeyText } from './alert-id.ts';
import { compareWithLimits } from './limits.ts';
import { rateOfChange } from './rate.ts';
import type { ReadingRule, RuleSet } from './rule-set.ts';
import { step } from './step.ts';
import type { Observation, RuleState, SeriesKey, Step } from './types.ts';

/** Readings of one metric of a site, in the order of their arrival. */
export interface ReadingBatch {
  readonly site: string;
  readonly metric: string;
  readonly readings: readonly {
    readonly device: string;
    /** Event time, epoch milliseconds. */
    readonly ts: number;
    readonly value: number;
  }[];
}

/** What an evaluation made of one alert, all its changes folded into the last. */
export interface AlertChange {
  readonly id: string;
  readonly series: SeriesKey;
  readonly kind: RuleKind;
  readonly severity: AlertRule['severity'];
  readonly labels: Readonly<Record<string, string>>;
  /** `vanished`: it was pending and its row goes. */
  state: 'pending' | 'firing' | 'resolved' | 'vanished';
  /** True when it began in this evaluation, so that its row is new. */
  readonly opened: boolean;
  value: number | null;
  threshold: number | null;
  /** Epoch milliseconds in the time of the rule. */
  readonly startedAt: number;
  firedAt?: number;
  firedValue?: number | null;
  resolvedAt?: number;
}

export interface Evaluation {
  /** State of every series that a newer observation has moved. */
  readonly states: ReadonlyMap<string, { readonly series: SeriesKey; readonly state: RuleState }>;
  /** Changed alerts, in the order of their first change. */
  readonly changes: readonly AlertChange[];
  /** Observations made, each rule counted. */
  readonly evaluated: number;
}

/** The time for which the condition of a rule must last, milliseconds. */
const holdOf = (rule: AlertRule): number => ('hold' in rule ? rule.hold : 0);

/** The series that readings touch, for reading their states. */
export function touchedSeries(rules: RuleSet, batches: readonly ReadingBatch[]): Map<string, SeriesKey> {
  const found = new Map<string, SeriesKey>();
  for (const { site, metric, readings } of batches) {
    for (const rule of rules.watching(site, metric)) {
      for (const { device } of readings) {
        if (rule.device !== '*' && rule.device !== device) continue;
        const series = { rule: rule.id, site, device, metric };
        found.set(seriesKeyText(series), series);
      }
    }
  }
  return found;
}

/** Evaluates what is observed, one after the other, from the states before it. Pure. */
export class Evaluator implements Evaluation {
  readonly states = new Map<string, { series: SeriesKey; state: RuleState }>();
  evaluated = 0;
  readonly #rules: RuleSet;
  readonly #before: ReadonlyMap<string, RuleState>;
  readonly #changes = new Map<string, AlertChange>();

  /** @param before the states of all series that will be observed, as far as they have one */
  constructor(rules: RuleSet, before: ReadonlyMap<string, RuleState>) {
    this.#rules = rules;
    this.#before = before;
  }

  get changes(): readonly AlertChange[] {
    return [...this.#changes.values()];
  }

  state(series: SeriesKey): RuleState | undefined {
    const key = seriesKeyText(series);
    return this.states.get(key)?.state ?? this.#before.get(key);
  }

  /** Readings in their order, against the rules that watch them. */
  readings({ site, metric, readings }: ReadingBatch): void {
    for (const rule of this.#rules.watching(site, metric)) {
      for (const { device, ts, value } of readings) {
        if (rule.device === '*' || rule.device === device)
          this.#reading(rule, { rule: rule.id, site, device, metric }, ts, value);
      }
    }
  }

  #reading(rule: ReadingRule, series: SeriesKey, ts: number, value: number): void {
    if (rule.kind === 'threshold') {
      this.#observe(rule, series, { ts, ...compareWithLimits(rule, value) });
      return;
    }
    this.evaluated++;
    const before = this.state(series);
    if (before !== undefined && ts <= before.lastTs) return;
    const { perMs, memory } = rateOfChange(before?.memory ?? [], rule.over, ts, value);
    const seen = perMs === null ? null : { ts, ...compareWithLimits(rule, perMs * rule.per) };
    const after: Step =
      seen === null
        ? { state: { ...(before ?? { phase: 'ok' }), lastTs: ts } }
        : step(rule.hold, before, seen);
    this.#apply(rule, series, before, { ...after, state: { ...after.state, memory } }, seen);
  }

  /** Observations of a rule that is gone meanwhile change nothing. */
  observe({ rule, site, device, metric, ...seen }: Observation): void {
    const found = this.#rules.get(rule);
    if (found !== undefined) this.#observe(found, { rule, site, device, metric }, seen);
  }

  #observe(rule: AlertRule, series: SeriesKey, seen: Omit<Observation, keyof SeriesKey>): void {
    this.evaluated++;
    const before = this.state(series);
    this.#apply(rule, series, before, step(holdOf(rule), before, seen), seen);
  }

  #apply(
    rule: AlertRule,
    series: SeriesKey,
    before: RuleState | undefined,
    { state, transition }: Step,
    seen: Omit<Observation, keyof SeriesKey> | null,
  ): void {
    if (state === before) return;
    this.states.set(seriesKeyText(series), { series, state });
    if (transition === undefined || seen === null) return;
    const { ts, value, threshold } = seen;
    const startedAt =
      state.phase !== 'ok' ? state.since : before !== undefined && before.phase !== 'ok' ? before.since : ts;
    const id = alertId(series, startedAt);
    const { kind, severity, labels } = rule;
    const change: AlertChange = this.#changes.get(id) ?? {
      ...{ id, series, kind, severity, labels, startedAt },
      state: 'pending',
      opened: before === undefined || before.phase === 'ok',
      value,
      threshold,
    };
    change.state = transition;
    change.value = value;
    change.threshold = threshold;
    if (transition === 'firing') {
      change.firedAt = ts;
      change.firedValue = value;
    } else if (transition === 'resolved') {
      change.resolvedAt = ts;
    }
    this.#changes.set(id, change);
  }
}
