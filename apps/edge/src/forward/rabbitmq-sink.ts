import type { OutgoingMessage, Publisher } from '@weir/connect-rabbitmq';
import { WeirError } from '@weir/flow';
import type { DerivedMetric } from '@weir/windows';
import type { SpoolRecord } from '../spool/index.ts';
import { batchReadings, type Lane, type RoutingSettings } from './batch-readings.ts';
import type { ForwardEvents } from './events.ts';
import type { Sink } from './flow.ts';
import { pause, persist } from './persist.ts';

export interface RabbitmqSinkOptions {
  readonly publisher: Publisher;
  readonly routing: RoutingSettings;
  readonly derived: readonly DerivedMetric[];
  readonly events: ForwardEvents;
  readonly lane: Lane;
}

/** Micro-batches with confirms; what the broker did not take is published again until it does. */
export function rabbitmqSink(options: RabbitmqSinkOptions): Sink {
  const { publisher, routing, derived, events, lane } = options;
  const destination = lane === 'critical' ? 'critical' : 'rabbitmq';
  const batch = batchReadings(routing, derived, lane);

  const deliver = async (records: readonly SpoolRecord[], stopping: AbortSignal): Promise<undefined> => {
    const persistence = { stopping, onFailure: (error: Error) => events.away(destination, error) };
    const publish = async (messages: readonly OutgoingMessage[]): Promise<void> => {
      let open = messages;
      for (let attempt = 0; open.length > 0; attempt++) {
        if (attempt > 0) await pause(attempt, stopping);
        const sent = open;
        const failures = await persist(() => publisher.publish(sent), persistence);
        open = sent.filter((_, index) => failures.has(index));
        if (failures.size > 0) events.notTaken(destination, failures, sent);
      }
    };
    /** AMQP cannot carry one of them: it is found by halving, told and left out; Kafka has its readings. */
    const publishAll = async (messages: readonly OutgoingMessage[]): Promise<void> => {
      try {
        await publish(messages);
      } catch (error) {
        if (!(error instanceof WeirError) || error.retry !== 'data') throw error;
        if (messages.length === 1) {
          events.unpublishable(destination, (messages[0] as OutgoingMessage).key, error);
          return;
        }
        const half = messages.length >> 1;
        await publishAll(messages.slice(0, half));
        await publishAll(messages.slice(half));
      }
    };

    const round = batch(records);
    for (const record of round.undecodable) events.undecodable(record);
    await publishAll(round.messages);
    events.stored(destination, round.readings);
    events.delivered(destination);
  };
  return { deliver, close: () => publisher.close(), isBlocked: () => publisher.blocked };
}
