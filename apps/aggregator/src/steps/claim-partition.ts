import type { Place } from '@weir/connect-kafka';
import { claimPartition, type Database, type PartitionWriter, resetPartition } from '@weir/connect-timescale';
import { partitionOf } from '@weir/reading';
import type { WindowOptions } from '@weir/windows';
import type { Events } from '../events.ts';
import type { Held } from '../partitions.ts';

export interface ClaimConfig {
  readonly topic: string;
  readonly partitions: number;
  /** Shown in partition_offsets. */
  readonly owner: string;
  readonly windows: WindowOptions;
}

/**
 * Makes a step that takes a partition over: from then on an earlier owner cannot write, and everything that its
 * windows need comes back from the rows. Answers the partition and the offset to read from.
 */
export function claim(config: ClaimConfig, database: Database, writer: PartitionWriter, events: Events) {
  return async function claimAndRestore(
    partition: number,
    place: Place,
  ): Promise<{ held: Held; readFrom: bigint }> {
    const started = performance.now();
    const claimed = await claimPartition(database, config.topic, partition, config.owner);
    let { position } = claimed;
    if (position.nextOffset > place.end || (position.nextOffset < place.start && position.nextOffset > 0n)) {
      // The topic was made anew, or retention overtook this group: what is gone cannot be read, what is there must be.
      events.logStartsLater(partition, position.nextOffset, place.start, place.end);
      position = await resetPartition(database, config.topic, partition, claimed.epoch, place.start);
    }
    const belongs = (device: string): boolean => partitionOf(device, config.partitions) === partition;
    const { owned, series } = await writer.open(partition, { ...claimed, position }, config.windows, belongs);
    const readFrom = position.replayOffset < place.start ? place.start : position.replayOffset;
    events.claimed(partition, {
      epoch: Number(owned.epoch),
      series,
      next: String(position.nextOffset),
      replay: String(position.nextOffset - readFrom),
      ms: Math.round(performance.now() - started),
    });
    return { held: Object.assign(owned, { folded: 0, samples: [], behindMs: 0 }), readFrom };
  };
}
