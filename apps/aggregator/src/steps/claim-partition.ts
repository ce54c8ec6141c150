import type { Place } from '@weir/connect-kafka';
import {
  claimPartition,
  type Database,
  loadOpenWindows,
  loadSeries,
  resetPartition,
} from '@weir/connect-timescale';
import { partitionOf } from '@weir/reading';
import { PartitionState, type WindowOptions } from '@weir/windows';
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
export function claim(config: ClaimConfig, database: Database, events: Events) {
  return async function claimAndRestore(
    partition: number,
    place: Place,
  ): Promise<{ held: Held; readFrom: bigint }> {
    const started = performance.now();
    const owned = await claimPartition(database, config.topic, partition, config.owner);
    let { position } = owned;
    if (position.nextOffset > place.end || (position.nextOffset < place.start && position.nextOffset > 0n)) {
      // The topic was made anew, or retention overtook this group: what is gone cannot be read, what is there must be.
      events.logStartsLater(partition, position.nextOffset, place.start, place.end);
      position = await resetPartition(database, config.topic, partition, owned.epoch, place.start);
    }
    // Only after the claim: a series that the earlier owner made until then must be seen.
    const series = (await loadSeries(database)).filter(
      ({ device }) => partitionOf(device, config.partitions) === partition,
    );
    const restored = await loadOpenWindows(database, series, config.windows.outOfOrdernessMs);
    const state = new PartitionState(config.windows, position);
    state.restore(restored);
    const readFrom = position.replayOffset < place.start ? place.start : position.replayOffset;
    events.claimed(partition, {
      epoch: Number(owned.epoch),
      series: restored.length,
      next: String(position.nextOffset),
      replay: String(position.nextOffset - readFrom),
      ms: Math.round(performance.now() - started),
    });
    const held: Held = {
      partition,
      epoch: owned.epoch,
      state,
      committed: position.nextOffset,
      folded: 0,
      samples: [],
    };
    return { held, readFrom };
  };
}
