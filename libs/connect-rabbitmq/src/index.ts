export { applyTopology, type BrokerTopology, brokerTopology } from './apply-topology.ts';
export { topologyDifferences } from './compare-topology.ts';
export { vhostOf } from './connection.ts';
export { openConsumer } from './consumer.ts';
export { openLiveQueue } from './live-queue.ts';
export { manage, type QueueDepth, queueDepths } from './management.ts';
export { openPublisher } from './publisher.ts';
export type * from './types.ts';
