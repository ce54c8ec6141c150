export { Fleet, type FleetOptions, type RecordedDevice } from './fleet/fleet.ts';
export { seeded } from './fleet/random.ts';
export type { FleetFigures } from './fleet/stats.ts';
