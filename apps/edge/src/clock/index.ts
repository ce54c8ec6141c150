export { EdgeClock, type EdgeClockOptions } from './edge-clock.ts';
export { ClockExchange } from './exchange-clock.ts';
export { type LocalZone, zonesOfSites } from './local-zone.ts';
