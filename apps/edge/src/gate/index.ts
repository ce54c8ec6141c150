export type { GateRefusal } from './frame.ts';
export { Gate } from './gate.ts';
export { type GateEvents, GateHouse, type GateLimits } from './house.ts';
export type { Lane, LaneGate } from './lane.ts';
export { checkTopic } from './text.ts';
export { TokenBucket } from './token-bucket.ts';
