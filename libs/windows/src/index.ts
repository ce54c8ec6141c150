export * from './dedup.ts';
export { type ForcedReading, lateIdentity } from './forced.ts';
export * from './levels.ts';
export * from './partition.ts';
export * from './recompute.ts';
export * from './series.ts';
export * from './sketch.ts';
export * from './types.ts';
export * from './window.ts';
