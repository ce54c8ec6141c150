import type { AedesOptions, PublishPacket } from 'aedes';
import type { EdgeEvents } from '../events.ts';
import type { Broker } from './broker.ts';
import type { SessionStore } from './session-store.ts';

type Will = PublishPacket & { readonly clientId: string };
type Authorize = NonNullable<AedesOptions['authorizePublish']>;

/**
 * Sends the wills of clients that were connected when the edge was killed: their connections were lost too
 * ([MQTT-3.1.2-8]). Call it before the listeners open; it does not wait for the spool. A will stays stored until it is
 * durable, so that another crash does not lose it.
 */
export async function sendLeftWills(
  broker: Broker,
  store: SessionStore,
  authorize: Authorize,
  events: EdgeEvents,
): Promise<void> {
  const wills: Will[] = [];
  for await (const will of store.streamWill(null)) wills.push(will as Will);
  for (const will of wills) {
    authorize(null, will, (error) => {
      if (error) return;
      broker.publish(will, () => {
        // a client that is back has put a will of its own in its place
        if (broker.find(will.clientId) !== null) return;
        store
          .delWill({ id: will.clientId })
          .catch((failure: unknown) => events.failed('removing a will that was sent', failure));
      });
    });
  }
}
