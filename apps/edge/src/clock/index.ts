export { EdgeClock, type EdgeClockOptions } from './edge-clock.ts';
export { exchangeClocks } from './exchange-clock.ts';
export { type LocalZone, zonesOfSites } from './local-zone.ts';
