export { type AuditOptions, type AuditReport, audit } from './audit.ts';
export type { Difference, LevelReport, Tally } from './compare-windows.ts';
export { planRebuild, type RebuildPlan } from './plan-rebuild.ts';
export { type RebuildOptions, type RebuildReport, rebuild } from './rebuild.ts';
export { type RangeOptions, type RangeReport, rebuildRange } from './rebuild-range.ts';
export type { Coverage, Finding, ReplayProgress } from './replay.ts';
