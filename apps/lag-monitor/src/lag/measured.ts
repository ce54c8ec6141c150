import type { LagSystem } from '@weir/api';
import type { MeasuredPartition } from '@weir/lag';

/** A group or queue, measured. */
export interface MeasuredGroup {
  readonly system: LagSystem;
  readonly name: string;
  readonly ours: boolean;
  /** As the broker calls it. */
  readonly state: string | null;
  readonly consumers: number | null;
  readonly rebalancing: boolean;
  /** Messages of a queue that are delivered and not settled. */
  readonly unacked: number | null;
  readonly partitions: readonly MeasuredPartition[];
}

/** All groups of Kafka, or all queues of RabbitMQ, at one moment. */
export interface Round {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly groups: readonly MeasuredGroup[];
  /** How long the broker took to answer. */
  readonly tookMs: number;
  /** Partitions that were left out because there are too many. */
  readonly left: number;
}

/** When the record at an offset came, as far as it is known without reading it. */
export type Knows = (group: string, topic: string, partition: number, offset: number) => number | null;

/** One after the other, some at a time. A rejection ends it. */
export async function eachOf<T>(
  items: readonly T[],
  atATime: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const one = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: atATime }, one));
}
