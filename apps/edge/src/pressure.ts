import type { Config } from '@weir/config';
import { type BackpressureState, type HopTime, type Metrics, observeHop } from '@weir/observe';
import type { GateHouse } from './gate/index.ts';
import type { Intake } from './intake/intake.ts';
import type { Spool, SpoolState } from './spool/index.ts';

export interface DoorParts {
  readonly edge: Config['edge'];
  readonly house: GateHouse;
  readonly intake: Intake;
  readonly spool: Spool;
  /** Of writing and fsync. */
  readonly time: HopTime;
}

const STATES: Readonly<Record<SpoolState, BackpressureState>> = { free: 0, throttled: 1, blocked: 2 };

/** The first two hops: the doors, which hold devices back, and the spool. */
export function observeDoors(metrics: Metrics, { edge, house, intake, spool, time }: DoorParts): void {
  let blockedAt: number | null = null;
  observeHop(metrics, {
    hop: 'device-gate',
    policy: 'block',
    items: { used: () => intake.inFlight, limit: edge.limits.connections * edge.limits.inflight },
    bytes: { used: () => house.partialBytes, limit: edge.limits.partialPackets },
    state: () => (intake.isBlocked ? 2 : STATES[spool.state]),
    delay: () => {
      blockedAt = intake.isBlocked ? (blockedAt ?? performance.now()) : null;
      return blockedAt === null ? 0 : (performance.now() - blockedAt) / 1_000;
    },
  });
  observeHop(
    metrics,
    {
      hop: 'spool',
      policy: edge.spool.whenFull,
      bytes: { used: () => spool.stats.usedBytes, limit: edge.spool.maxSize },
      state: () => STATES[spool.state],
      delay: () => time.sinkSeconds,
    },
    time,
  );
}
