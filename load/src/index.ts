export { Fleet, type FleetOptions, type RecordedDevice } from './fleet/fleet.ts';
export type { FleetFigures } from './fleet/stats.ts';
