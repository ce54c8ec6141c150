import type { EdgeEvents } from './events.ts';
import type { Forwarders } from './forward/index.ts';
import type { GateHouse } from './gate/index.ts';
import type { Intake } from './intake/intake.ts';
import { DESTINATIONS, type Spool } from './spool/index.ts';

type Totals = EdgeEvents['totals'];
const SAMPLE_MS = 1_000;
const SAMPLES = 10;

export interface StatusSources {
  readonly edgeId: string;
  readonly spool: Spool;
  readonly intake: Intake;
  readonly house: GateHouse;
  readonly events: EdgeEvents;
  readonly forwarders: Pick<Forwarders, 'status' | 'tally'>;
}

/** `GET /edge/status`: what the edge is doing now, with rates over the last ten seconds. */
export function edgeStatus({ edgeId, spool, intake, house, events, forwarders }: StatusSources) {
  const samples: { at: number; totals: Totals }[] = [];
  const sample = (): void => {
    samples.push({ at: performance.now(), totals: { ...events.totals } });
    if (samples.length > SAMPLES) samples.shift();
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS);
  timer.unref();
  return () => {
    const oldest = samples[0] as (typeof samples)[number];
    const seconds = Math.max(0.001, (performance.now() - oldest.at) / 1_000);
    const rate = (key: keyof Totals) =>
      Math.round(((events.totals[key] - oldest.totals[key]) / seconds) * 10) / 10;
    return {
      edge: edgeId,
      source: intake.edge,
      state: intake.isBlocked ? 'blocked' : spool.state,
      connections: house.gates.size,
      connectionsHeld: house.waiting,
      inFlight: intake.inFlight,
      perSecond: {
        publishes: rate('publishes'),
        accepted: rate('accepted'),
        deadLetters: rate('buried'),
        dropped: rate('dropped'),
        connects: rate('connects'),
      },
      totals: { ...events.totals },
      spool: { ...spool.stats },
      /** Readings and refused messages that the spool has taken, and what became of them on the way to Kafka. */
      ledger: { ...forwarders.tally, taken: spool.counted() },
      destinations: Object.fromEntries(DESTINATIONS.map((name) => [name, forwarders.status(name)])),
    };
  };
}
