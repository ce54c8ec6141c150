export { alertId, seriesKeyText } from './alert-id.ts';
export type { FiringAlert } from './cluster.ts';
export {
  type AlertChange,
  type Evaluation,
  Evaluator,
  type Others,
  type ReadingBatch,
  touchedSeries,
} from './evaluation.ts';
export { compareWithLimits } from './limits.ts';
export { type DeviceLiveness, Liveness } from './liveness.ts';
export type { KeptDevice } from './liveness-devices.ts';
export type { EdgeProgress, HeartbeatQueue } from './liveness-edges.ts';
export { isOpen, nextOpening } from './maintenance.ts';
export {
  durationText,
  type MergedRules,
  mergeRules,
  parseRule,
  type RuleProblem,
  type WrittenRule,
  writtenRule,
} from './merge-rules.ts';
export { type Arrivals, MissingReadings } from './missing.ts';
export { QuietSeries } from './quiet.ts';
export { type RuleSet, ruleSet } from './rule-set.ts';
export type { Observation, RuleState, SeriesKey } from './types.ts';
