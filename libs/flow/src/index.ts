export * from './durable-fs.ts';
export * from './errors.ts';
export * from './pacing.ts';
export * from './reasons.ts';
export * from './retry.ts';
