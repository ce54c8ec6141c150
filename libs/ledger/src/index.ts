export * from './balance.ts';
export * from './letters.ts';
export * from './received.ts';
export * from './sent.ts';
