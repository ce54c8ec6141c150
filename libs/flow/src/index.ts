export * from './durable-fs.ts';
export * from './errors.ts';
export * from './outcome.ts';
export * from './retry.ts';
