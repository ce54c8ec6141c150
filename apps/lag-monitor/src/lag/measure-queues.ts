import { queueConsumers, queueDepths, queueTotals, vhostOf } from '@weir/connect-rabbitmq';
import { type QueuePlace, queuePlace } from '@weir/lag';
import type { MeasuredGroup, Round } from './measured.ts';

export interface MeasureQueuesOptions {
  readonly url: string;
  readonly managementUrl: string;
  readonly isWatched: (name: string) => boolean;
}

/** A queue in which messages wait until their time is over and they go elsewhere, or until a person takes them. */
function isWaitingRoom(name: string, args: Readonly<Record<string, unknown>>, consumers: number): boolean {
  if (consumers > 0) return false;
  return name.endsWith('.parked') || ('x-message-ttl' in args && 'x-dead-letter-exchange' in args);
}

/**
 * Makes a step that measures the queues of the virtual host: what lasts, so neither those that live with a connection nor
 * streams. A quorum queue tells nothing of the message at its head (measured with RabbitMQ 4.0.5: `head_message_timestamp`
 * is there for classic queues only), and looking at it would count as a delivery: its age follows from when the queue
 * had how many messages. The step throws `WeirError` when RabbitMQ does not answer.
 */
export function measureQueues({ url, managementUrl, isWatched }: MeasureQueuesOptions) {
  const vhost = vhostOf(url);
  let places = new Map<string, QueuePlace>();

  return async function measureQueues(): Promise<Round> {
    const since = performance.now();
    const [depths, totals, counts] = await Promise.all([
      queueDepths(managementUrl, vhost),
      queueTotals(managementUrl, vhost),
      queueConsumers(managementUrl, vhost),
    ]);
    const at = Date.now();
    const next = new Map<string, QueuePlace>();
    const groups: MeasuredGroup[] = [];
    for (const { name, done, headAt, type, exclusive, arguments: args, ...counted } of depths) {
      if (exclusive || type === 'stream' || !isWatched(name)) continue;
      const { ready, unacked } = totals.get(name) ?? counted;
      const consumers = counts.get(name) ?? 0;
      const place = queuePlace(places.get(name) ?? null, { depth: ready + unacked, done });
      next.set(name, place);
      const measured = {
        ...{ at, committed: place.head, start: 0, end: place.end, consumers, headAt },
        waitingRoom: isWaitingRoom(name, args, consumers),
      };
      groups.push({
        ...{ system: 'rabbitmq', name, ours: name.startsWith('weir.'), state: 'running', consumers },
        ...{
          rebalancing: false,
          unacked,
          partitions: [{ topic: '', partition: 0, consumer: null, measured }],
        },
      });
    }
    places = next;
    return { at, groups, tookMs: performance.now() - since, left: 0 };
  };
}
