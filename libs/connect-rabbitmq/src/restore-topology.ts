import { setTimeout as delay } from 'node:timers/promises';
import { REPAIR_DELAY_MS } from '@weir/topology';
import { applyTopology, brokerTopology } from './apply-topology.ts';
import { missingBindings } from './compare-topology.ts';
import { vhostOf } from './connection.ts';
import type { ConnectionOptions } from './types.ts';

/**
 * Like `applyTopology`, but a binding that was taken away from a queue comes back only after `REPAIR_DELAY_MS`: by then
 * every edge has noticed that it is missing, and sends again what went by. Throws as `applyTopology` does.
 */
export async function restoreTopology(options: ConnectionOptions, managementUrl: string): Promise<void> {
  const { queues } = brokerTopology;
  // Without the management API nothing is known of the bindings: then wait as well.
  const missing = await missingBindings(managementUrl, vhostOf(options.url), queues).catch(() => null);
  if (missing === null || missing.some(({ queueExists }) => queueExists)) await delay(REPAIR_DELAY_MS);
  await applyTopology(options);
}
