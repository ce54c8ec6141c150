export * from './credential.ts';
export * from './dead-letter.ts';
export * from './envelope.ts';
export * from './hlc.ts';
export * from './interpret.ts';
export * from './partition.ts';
export * from './reading.ts';
export * from './topic.ts';
