export * from './admin.ts';
export * from './log.ts';
export * from './metrics.ts';
