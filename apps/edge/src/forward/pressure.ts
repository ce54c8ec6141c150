import { HopTime, type Metrics, observeHop } from '@weir/observe';
import type { EdgeClock } from '../clock/index.ts';
import type { Destination, SpoolReader } from '../spool/index.ts';

/** One round of records on its way to one destination: what is in hand, and where its time goes. */
export class Round {
  readonly time = new HopTime();
  bytes = 0;
}

export interface WayParts {
  readonly destination: Destination;
  readonly round: Round;
  /** Bytes of a round. */
  readonly batchBytes: number;
  readonly reader: SpoolReader;
  readonly clock: Pick<EdgeClock, 'latest'>;
  /** The far side takes nothing. */
  readonly isHeld: () => boolean;
  /** The lag monitor asks for less. */
  readonly isThrottled: () => boolean;
}

/** Shows one way out of the spool as a hop. It takes what it can send, and leaves the rest to the spool. */
export function observeWay(metrics: Metrics, way: WayParts): void {
  const { destination, round, batchBytes, reader, clock, isHeld, isThrottled } = way;
  observeHop(
    metrics,
    {
      hop: `forward-${destination}`,
      policy: 'block',
      bytes: { used: () => round.bytes, limit: batchBytes },
      state: () => (isHeld() ? 2 : isThrottled() ? 1 : 0),
      delay: () => {
        const { oldestAt } = reader.behind;
        return oldestAt === null ? 0 : Math.max(0, (clock.latest() - oldestAt) / 1_000);
      },
    },
    round.time,
  );
}
