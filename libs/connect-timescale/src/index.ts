export * from './alerting.ts';
export * from './alerts.ts';
export * from './archive-manifest.ts';
export * from './audit-trail.ts';
export {
  readClosedWindows,
  seriesOfMetrics,
  type WatchedSeries,
} from './closed-windows.ts';
export * from './commit-part.ts';
export * from './database.ts';
export * from './derivations.ts';
export * from './device-credentials.ts';
export { type DeviceFacts, deviceState, readDevice } from './devices.ts';
export * from './edition.ts';
export * from './errors.ts';
export * from './forced.ts';
export * from './idempotency.ts';
export { newestPane } from './kept.ts';
export * from './leadership.ts';
export * from './ledger.ts';
export * from './ledger-letters.ts';
export * from './maintenance.ts';
export * from './migrate.ts';
export * from './offsets.ts';
export * from './partition-writer.ts';
export * from './queries.ts';
export * from './raised-alerts.ts';
export { type RowKeys, repairRollups, repairWindows } from './repair.ts';
export * from './retention.ts';
export * from './rollups.ts';
export * from './rows.ts';
export { openScratch, type Scratch, type ScratchKind, type ScratchOptions } from './scratch.ts';
export * from './series.ts';
export {
  type Piece,
  type PieceRow,
  type Progress,
  type QueryOptions,
  readFigures,
  readPieces,
  type SeriesState,
} from './series-queries.ts';
export { openSnapshot, type Snapshot } from './snapshot.ts';
export type { DeviceState, LevelState, MetricState, SummaryQuery } from './summary.ts';
export { adoptPositions, swapIn, swapTables } from './swap.ts';
export * from './trace.ts';
export { type Column, compareKeys, TupleCursor, type Value, valuesOf } from './tuples.ts';
export * from './windows.ts';
