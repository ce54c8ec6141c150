export * from './bottleneck.ts';
export * from './model.ts';
export * from './suspects.ts';
export * from './throttle.ts';
