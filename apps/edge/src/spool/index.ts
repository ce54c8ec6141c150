export * from './records.ts';
export { Spool } from './spool.ts';
export * from './types.ts';
