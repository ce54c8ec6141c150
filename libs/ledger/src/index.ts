export * from './received.ts';
export * from './sent.ts';
