export * from './describe.ts';
export { type LoadOptions, loadConfig } from './load.ts';
export { nearest } from './nearest.ts';
export { type Config, schema } from './schema.ts';
export { type MaintenanceWindow, maintenanceWindow, type Notifier } from './sections/notifiers.ts';
export { archiveRetention, neededLogMs, unprovenLevels } from './sections/retention.ts';
export { duration, whole } from './units.ts';
