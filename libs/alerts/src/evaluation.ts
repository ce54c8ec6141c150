import { type AlertRule, memberRules, type RuleKind, type RuleOf } from '@weir/config/alert-rules';
import { alertId, seriesKeyText } from './alert-id.ts';
import { densest, devicesOf, type FiringAlert } from './cluster.ts';
import { holds } from './condition.ts';
import { compareWithLimits } from './limits.ts';
import { rateOfChange } from './rate.ts';
import { covers, type ReadingRule, type RuleSet } from './rule-set.ts';
import { step } from './step.ts';
import type { Observation, RuleState, SeriesKey, Step, Transition } from './types.ts';

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
  /** Alerts of devices → the alert of their site that covers them from now on. */
  readonly covered: ReadonlyMap<string, string>;
  /** Alerts of sites that have ended: what they covered and still fires is covered no more. */
  readonly released: ReadonlySet<string>;
  /** A rule was moved that others are made of, and `others` is needed to say what follows. */
  readonly needsOthers: boolean;
}

/** What rules that are made of others need to know beside the states of what is observed. */
export interface Others {
  /** The series of a rule and device that have a state. */
  seriesOf(rule: string, site: string, device: string): readonly SeriesKey[];
  /** The alerts of a rule and site that fire. */
  firing(rule: string, site: string): readonly (FiringAlert & { readonly metric: string })[];
}

/** The time for which the condition of a rule must last, milliseconds. */
const holdOf = (rule: AlertRule): number => ('hold' in rule ? rule.hold : 0);

/** The series whose states an evaluation begins with: of what is seen, and of the rules made of those. */
export function touchedSeries(
  rules: RuleSet,
  batches: readonly ReadingBatch[],
  observed: Iterable<SeriesKey> = [],
): Map<string, SeriesKey> {
  const found = new Map<string, SeriesKey>();
  const add = (series: SeriesKey): void => {
    const key = seriesKeyText(series);
    if (found.has(key)) return;
    found.set(key, series);
    const { site, device } = series;
    for (const { id, kind } of rules.madeOf(series.rule))
      add({ rule: id, site, device: kind === 'composite' ? device : '', metric: '' });
  };
  for (const { site, metric, readings } of batches) {
    for (const rule of rules.watching(site, metric)) {
      for (const { device } of readings) {
        if (rule.device === '*' || rule.device === device) add({ rule: rule.id, site, device, metric });
      }
    }
  }
  for (const { rule, site, device, metric } of observed) add({ rule, site, device, metric });
  return found;
}

/** Evaluates what is observed, one after the other, from the states before it. Pure. */
export class Evaluator implements Evaluation {
  readonly states = new Map<string, { series: SeriesKey; state: RuleState }>();
  evaluated = 0;
  needsOthers = false;
  readonly covered = new Map<string, string>();
  readonly released = new Set<string>();
  readonly #rules: RuleSet;
  readonly #before: ReadonlyMap<string, RuleState>;
  readonly #others: Others | null;
  readonly #changes = new Map<string, AlertChange>();
  /** By rule, site and device: series of rules that others are made of. */
  readonly #moved = new Map<string, SeriesKey[]>();
  /** By rule and site: what fires, as it is after the changes so far. */
  readonly #firing = new Map<string, Map<string, FiringAlert>>();

  /**
   * @param before the states of all series that will be observed, as far as they have one
   * @param others null: rules made of others stay as they are, and `needsOthers` tells when they must not
   */
  constructor(rules: RuleSet, before: ReadonlyMap<string, RuleState>, others: Others | null = null) {
    this.#rules = rules;
    this.#before = before;
    this.#others = others;
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
    if (seen === null) return;
    if (transition !== undefined) this.#change(rule, series, before, state, transition, seen);
    const dependent = this.#rules.madeOf(rule.id);
    if (dependent.length > 0) this.#remember(series);
    for (const made of dependent) {
      if (made.kind === 'composite')
        this.#compose(made, series, seen.ts, isFiring(before) !== isFiring(state));
      else if (transition === 'firing' || transition === 'resolved') {
        const startedAt = transition === 'firing' && state.phase === 'firing' ? state.since : null;
        this.#correlate(made, series, seen.ts, startedAt);
      }
    }
  }

  #change(
    rule: AlertRule,
    series: SeriesKey,
    before: RuleState | undefined,
    state: RuleState,
    transition: Transition,
    seen: Omit<Observation, keyof SeriesKey>,
  ): void {
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

  /** @param changed a member began or ceased to fire; else only time has passed */
  #compose(rule: RuleOf<'composite'>, { site, device }: SeriesKey, at: number, changed: boolean): void {
    if (!covers(rule, site, device)) return;
    const series = { rule: rule.id, site, device, metric: '' };
    const before = this.state(series);
    if (!changed && before?.phase !== 'pending') return;
    this.needsOthers = true;
    const others = this.#others;
    if (others === null) return;
    const members = new Map(
      memberRules(rule).map((id) => [
        id,
        [...others.seriesOf(id, site, device), ...(this.#moved.get(`${id}\0${site}\0${device}`) ?? [])],
      ]),
    );
    const met = holds(rule.when, (id) => (members.get(id) ?? []).some((one) => isFiring(this.state(one))));
    // Members may change at the same moment, or one after the other against the order of their times.
    const ts = changed && before !== undefined ? Math.max(at, before.lastTs + 1) : at;
    this.#observe(rule, series, { ts, met, cleared: !met, value: null, threshold: null });
  }

  /** Lets the time of a rule made of others pass, where nothing tells of its members. */
  pass(rule: RuleOf<'composite'>, series: SeriesKey, ts: number): void {
    this.#compose(rule, series, ts, false);
  }

  #remember(series: SeriesKey): void {
    const { rule, site, device } = series;
    const key = `${rule}\0${site}\0${device}`;
    const known = this.#moved.get(key);
    if (known === undefined) this.#moved.set(key, [series]);
    else if (!known.some(({ metric }) => metric === series.metric)) known.push(series);
  }

  /** @param startedAt beginning of the member's alert that fires; null: it has ended */
  #correlate(
    rule: RuleOf<'correlation'>,
    { rule: member, site, device, metric }: SeriesKey,
    at: number,
    startedAt: number | null,
  ): void {
    if (rule.site !== '*' && rule.site !== site) return;
    this.needsOthers = true;
    if (this.#others === null) return;
    const firing = this.#firingOf(this.#others, member, site);
    const id = startedAt === null ? null : alertId({ rule: member, site, device, metric }, startedAt);
    if (id === null) firing.delete(`${device}\0${metric}`);
    else firing.set(`${device}\0${metric}`, { id, device, firedAt: at });

    const series = { rule: rule.id, site, device: '', metric: '' };
    const before = this.state(series);
    const together = isFiring(before) ? [...firing.values()] : densest(firing.values(), rule.within);
    const devices = devicesOf(together);
    const met = devices >= rule.devices;
    this.#observe(rule, series, {
      ts: Math.max(at, (before?.lastTs ?? Number.NEGATIVE_INFINITY) + 1),
      ...{ met, cleared: devices <= (rule.clear ?? rule.devices - 1) },
      ...{ value: devices, threshold: rule.devices },
    });
    const state = this.state(series);
    if (state?.phase === 'firing') {
      const cover = alertId(series, state.since);
      for (const alert of isFiring(before) ? [] : together) this.covered.set(alert.id, cover);
      if (id !== null) this.covered.set(id, cover);
    } else if (before?.phase === 'firing') {
      const cover = alertId(series, before.since);
      this.released.add(cover);
      // What has ended under it stays covered, as it does when that happened in an evaluation before.
      for (const { id: still } of firing.values())
        if (this.covered.get(still) === cover) this.covered.delete(still);
    }
  }

  #firingOf(others: Others, rule: string, site: string): Map<string, FiringAlert> {
    const key = `${rule}\0${site}`;
    let firing = this.#firing.get(key);
    if (firing === undefined) {
      firing = new Map(others.firing(rule, site).map((alert) => [`${alert.device}\0${alert.metric}`, alert]));
      this.#firing.set(key, firing);
    }
    return firing;
  }
}

const isFiring = (state: RuleState | undefined): boolean => state?.phase === 'firing';
