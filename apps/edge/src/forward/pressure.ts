import { HopTime, type Metrics, observeHop } from '@weir/observe';
import type { EdgeClock } from '../clock/index.ts';
import type { SpoolReader } from '../spool/index.ts';

/** One round of records on its way to one destination: what is in hand, and where its time goes. */
export class Round {
  readonly time: HopTime;
  bytes = 0;

  /** @param time of the hop; lanes of one hop share it */
  constructor(time = new HopTime()) {
    this.time = time;
  }
}

/** One destination of a hop. */
export interface Way {
  readonly round: Round;
  /** Bytes of a round. */
  readonly batchBytes: number;
  readonly reader: SpoolReader;
  /** The far side takes nothing. */
  readonly isHeld: () => boolean;
  /** The lag monitor asks for less. */
  readonly isThrottled: () => boolean;
}

/**
 * Shows the ways out of the spool to one broker as a hop, by the one that is worst off. A way takes what it can send,
 * and leaves the rest to the spool.
 */
export function observeWays(
  metrics: Metrics,
  hop: string,
  time: HopTime,
  ways: readonly Way[],
  clock: Pick<EdgeClock, 'latest'>,
): void {
  const sum = (read: (way: Way) => number): number => ways.reduce((all, way) => all + read(way), 0);
  observeHop(
    metrics,
    {
      hop,
      policy: 'block',
      bytes: { used: () => sum(({ round }) => round.bytes), limit: sum(({ batchBytes }) => batchBytes) },
      state: () =>
        ways.some(({ isHeld }) => isHeld()) ? 2 : ways.some(({ isThrottled }) => isThrottled()) ? 1 : 0,
      delay: () => Math.max(...ways.map(({ reader }) => secondsBehind(reader, clock))),
    },
    time,
  );
}

/** Age of the oldest record that the reader is behind with, seconds; 0 when nothing waits or its age is not known. */
export function secondsBehind({ behind }: SpoolReader, clock: Pick<EdgeClock, 'latest'>): number {
  const { oldestAt } = behind;
  return oldestAt === null ? 0 : Math.max(0, (clock.latest() - oldestAt) / 1_000);
}
