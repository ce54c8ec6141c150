export * from './balance.ts';
export * from './received.ts';
export * from './sent.ts';
