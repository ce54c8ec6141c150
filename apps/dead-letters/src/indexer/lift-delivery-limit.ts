import { manage, vhostOf } from '@weir/connect-rabbitmq';
import type { AppContext } from '@weir/lifecycle';
import type { IndexerEvents } from './events.ts';
import { persisting } from './persist.ts';

const POLICY = 'weir-dead-letters';
const RULE = {
  pattern: '\\.dlq$',
  'apply-to': 'quorum_queues',
  definition: { 'delivery-limit': -1 },
  priority: 10,
};

/**
 * A quorum queue drops a message that came back 21 times (its default delivery limit), and a dead-letter queue has
 * nowhere to bury it: measured with RabbitMQ 4.0.5, a reader that is killed 21 times in a row loses the letter. An
 * argument of the queue would help new queues only; a policy helps those that exist too.
 */
export async function liftDeliveryLimit(
  { config, stopping }: AppContext,
  events: IndexerEvents,
): Promise<void> {
  const { url, managementUrl } = config.rabbitmq;
  const path = `/api/policies/${encodeURIComponent(vhostOf(url))}/${POLICY}`;
  try {
    await persisting(events, stopping)('policy', () =>
      manage(managementUrl, path, { method: 'PUT', body: RULE }),
    );
  } catch (error) {
    if (stopping.aborted) return;
    events.done('policy');
    events.policyRefused(error);
  }
}
