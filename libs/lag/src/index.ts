export { causesOf, type Surroundings } from './cause.ts';
export {
  GroupWatch,
  type JudgedGroup,
  type JudgedPartition,
  type MeasuredPartition,
  type PartitionName,
} from './group.ts';
export { HelperPlan } from './helpers.ts';
export { type QueuePlace, queuePlace } from './queue.ts';
export { RANK } from './settle.ts';
export type { Limits, Measurement, Unmeasured } from './types.ts';
