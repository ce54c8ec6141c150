export { type AuditOptions, type AuditReport, audit } from './audit.ts';
export type { Difference, LevelReport, Tally } from './compare-windows.ts';
export type { Coverage, Finding, ReplayProgress } from './replay.ts';
