import { type Consumer, type Delivery, openConsumer } from '@weir/connect-rabbitmq';
import type { Database } from '@weir/connect-timescale';
import { type Arrival, likeness, readArrival } from '@weir/dead-letters';
import { Identities, type QueueMark } from './identities.ts';
import type { InboxOptions } from './kafka-inbox.ts';

export interface QueueInbox {
  readonly consumer: Consumer;
  readonly identities: Identities;
  /** Forgets the messages whose acknowledgement has arrived; see `Identities.settle`. */
  settle(all?: boolean): Promise<void>;
}

function arrivalOf({ queue, headers, contentType, messageId, body }: Delivery): Arrival {
  return {
    found: { in: 'rabbitmq', queue },
    key: null,
    headers,
    properties: {
      ...(contentType === undefined ? {} : { contentType }),
      ...(messageId === undefined ? {} : { messageId }),
    },
    bytes: body,
  };
}

/** A dead-letter queue of RabbitMQ: its letters into the press, then the acknowledgement. It is emptied. */
export function queueInbox(
  { context, press, readOrigin, giveUp }: InboxOptions,
  database: Database,
  queue: string,
): QueueInbox {
  const { url, heartbeat: heartbeatMs } = context.config.rabbitmq;
  const identities = new Identities(queue);

  const consumer = openConsumer({
    url,
    heartbeatMs,
    name: `weir dead-letters, ${queue}`,
    queue,
    prefetch: context.config.deadLetters.prefetch,
    log: context.log,
    async handler(delivery) {
      const arrival = arrivalOf(delivery);
      const letter = readArrival(arrival, readOrigin, Date.now());
      const { session, redelivered } = delivery;
      const mark: QueueMark | null =
        letter.id === null ? { queue, session, redelivered, likeness: likeness(arrival) } : null;
      try {
        const id = await press.add({ letter, mark });
        if (mark !== null) identities.acked(id);
      } catch (error) {
        if (!giveUp.aborted) context.fatal(`taking a dead letter of queue ${queue}`, error);
        return 'requeue';
      }
      return 'ack';
    },
  });
  return {
    consumer,
    identities,
    settle: (all) => identities.settle(database, consumer.consuming ? consumer.session : null, all),
  };
}
