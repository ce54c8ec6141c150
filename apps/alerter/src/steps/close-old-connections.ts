import { manage, vhostOf } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import type { AlerterEvents } from '../events.ts';

interface ConnectionRow {
  readonly name: string;
  readonly client_properties?: { readonly connection_name?: unknown };
}

/** Names of the connections of an alerter begin with this; the holder follows. */
export const CONNECTION_NAME = 'weir alerter';

/**
 * Closes the connections of the alerter that was active before: a process that is paused keeps its place as the single
 * active consumer of the queues until its heartbeat fails. Never throws: without the management API it takes longer.
 */
export async function closeOldConnections(
  { url, managementUrl }: { readonly url: string; readonly managementUrl: string },
  holder: string,
  events: AlerterEvents,
): Promise<void> {
  try {
    const path = `/api/vhosts/${encodeURIComponent(vhostOf(url))}/connections`;
    const connections = await manage<readonly ConnectionRow[]>(managementUrl, path);
    for (const { name, client_properties: properties } of connections) {
      const given = String(properties?.connection_name ?? '');
      if (!given.startsWith(`${CONNECTION_NAME} `) || given.startsWith(`${CONNECTION_NAME} ${holder}`))
        continue;
      await manage(managementUrl, `/api/connections/${encodeURIComponent(name)}`, { method: 'DELETE' });
      events.closedConnection(given);
    }
  } catch (error) {
    events.takeOverSlow(errorMessage(error));
  }
}
