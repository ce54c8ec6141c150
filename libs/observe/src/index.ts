export * from './admin.ts';
export * from './hop.ts';
export * from './ledger.ts';
export * from './log.ts';
export * from './metrics.ts';
export * from './page.ts';
