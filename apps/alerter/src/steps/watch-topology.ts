import { setTimeout as delay } from 'node:timers/promises';
import type { AlerterEvents } from '../events.ts';

export interface TopologyWatch {
  /** A sentence for each difference between the broker and the topology. */
  readonly compare: () => Promise<readonly string[]>;
  /** Declares what is missing; throws when something exists in another form. */
  readonly apply: () => Promise<void>;
  readonly events: AlerterEvents;
  readonly everyMs: number;
  readonly stopping: AbortSignal;
}

/**
 * Compares the broker with the topology at the start and then again and again: somebody may remove a binding by hand.
 * Every difference is named once, and what is missing is declared again.
 */
export async function watchTopology({
  compare,
  apply,
  events,
  everyMs,
  stopping,
}: TopologyWatch): Promise<void> {
  let named = new Set<string>();
  while (!stopping.aborted) {
    try {
      const found = await compare();
      events.topologyDifferences(
        found.filter((difference) => !named.has(difference)),
        found.length,
      );
      named = new Set(found);
      if (found.length > 0) await apply();
    } catch (error) {
      events.topologyCheckFailed(error);
    }
    await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}
