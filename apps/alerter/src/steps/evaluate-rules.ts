import { alertId, type SeriesKey, seriesKeyText } from '../rules/alert-id.ts';
import type { RuleSet } from '../rules/rule-set.ts';
import { evaluateReading, type RuleState, type ThresholdRule, thresholdFor } from '../rules/threshold.ts';
import type { TelemetryBatch } from './decode-telemetry.ts';

/** What a batch of readings made of one alert, all its changes folded into the last. */
export interface AlertChange {
  readonly id: string;
  readonly series: SeriesKey;
  readonly severity: ThresholdRule['severity'];
  /** `vanished`: it was pending and its row goes. */
  state: 'pending' | 'firing' | 'resolved' | 'vanished';
  /** True when it began in this batch, so that its row is new. */
  readonly opened: boolean;
  value: number;
  threshold: number;
  /** Event times, epoch milliseconds. */
  readonly startedAt: number;
  firedAt?: number;
  firedValue?: number;
  resolvedAt?: number;
}

export interface Evaluation {
  /** State of every series that a newer reading has moved. */
  readonly states: ReadonlyMap<string, { readonly series: SeriesKey; readonly state: RuleState }>;
  /** Changed alerts, in the order of their first change. */
  readonly changes: readonly AlertChange[];
  /** Readings compared with a rule, each rule counted. */
  readonly evaluated: number;
}

/** The series that a batch touches, for reading their states. */
export function touchedSeries(rules: RuleSet, batches: readonly TelemetryBatch[]): Map<string, SeriesKey> {
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

/** Evaluates readings in their order, from the states before them. Pure. */
export function evaluateRules(
  rules: RuleSet,
  before: ReadonlyMap<string, RuleState>,
  batches: readonly TelemetryBatch[],
): Evaluation {
  const states = new Map<string, { series: SeriesKey; state: RuleState }>();
  const changes = new Map<string, AlertChange>();
  let evaluated = 0;
  for (const { site, metric, readings } of batches) {
    for (const rule of rules.watching(site, metric)) {
      for (const { device, ts, value } of readings) {
        if (rule.device !== '*' && rule.device !== device) continue;
        evaluated++;
        const series = { rule: rule.id, site, device, metric };
        const key = seriesKeyText(series);
        const state = states.get(key)?.state ?? before.get(key);
        const step = evaluateReading(rule, state, ts, value);
        if (step.state === state) continue;
        states.set(key, { series, state: step.state });
        if (step.transition === undefined) continue;
        const startedAt =
          step.state.phase !== 'ok'
            ? step.state.since
            : state !== undefined && state.phase !== 'ok'
              ? state.since
              : ts;
        const id = alertId(series, startedAt);
        const change: AlertChange = changes.get(id) ?? {
          id,
          series,
          severity: rule.severity,
          state: 'pending',
          opened: state === undefined || state.phase === 'ok',
          value,
          threshold: 0,
          startedAt,
        };
        change.state = step.transition;
        change.value = value;
        change.threshold = thresholdFor(rule, value);
        if (step.transition === 'firing') {
          change.firedAt = ts;
          change.firedValue = value;
        } else if (step.transition === 'resolved') {
          change.resolvedAt = ts;
        }
        changes.set(id, change);
      }
    }
  }
  return { states, changes: [...changes.values()], evaluated };
}
