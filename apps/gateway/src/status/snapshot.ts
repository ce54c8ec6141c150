import type { QueueDepth } from '@weir/connect-rabbitmq';
import type { AppView, Probe } from './probe.ts';

export interface GroupView {
  /** Records not committed, over all partitions; null when the group never committed. */
  readonly lag: number | null;
  /** Partition with the largest lag. */
  readonly worst: { readonly partition: number; readonly lag: number } | null;
}
export interface KafkaView {
  /** Sum of the end offsets of the readings topic: records ever written. */
  readonly written: number;
  readonly partitions: number;
  readonly aggregator: GroupView;
  readonly archiver: GroupView;
  /** Records kept in the dead-letter topic. */
  readonly deadLetters: number;
}
export interface DatabaseView {
  readonly firingAlerts: number;
}

/** What all parts said at one moment. */
export interface Snapshot {
  /** Epoch milliseconds. */
  readonly at: number;
  /** In the same order every time; at least one. */
  readonly edges: readonly { readonly url: string; readonly said: Probe<AppView> }[];
  readonly aggregator: Probe<AppView>;
  readonly archiver: Probe<AppView>;
  readonly alerter: Probe<AppView>;
  readonly deadLetters: Probe<AppView>;
  readonly kafka: Probe<KafkaView>;
  readonly rabbitmq: Probe<readonly QueueDepth[]>;
  readonly timescale: Probe<DatabaseView>;
  readonly minio: Probe<void>;
  readonly cache: 'ready' | 'paused' | 'away';
  readonly live: { readonly clients: number; readonly connected: boolean; readonly delivered: number };
}
