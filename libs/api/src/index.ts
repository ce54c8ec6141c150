export * from './alerts.ts';
export * from './common.ts';
export * from './devices.ts';
export * from './live.ts';
export * from './rollups.ts';
export * from './status.ts';
export * from './summary.ts';
export * from './windows.ts';
