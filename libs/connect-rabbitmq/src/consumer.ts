import { openRetryLadder } from './retry-ladder.ts';
import { subscribe } from './subscription.ts';
import type { Consumer, ConsumerOptions } from './types.ts';

/** Consumes one durable queue on a connection of its own. Touches no network before `start`. */
export function openConsumer(options: ConsumerOptions): Consumer {
  const { handler, retry } = options;
  const ladder = retry === undefined ? undefined : openRetryLadder({ ...options, retry });
  return subscribe({
    ...options,
    what: `queue ${options.queue}`,
    prepare: async (channel) => {
      await channel.checkQueue(options.queue);
      return options.queue;
    },
    handler: async (delivery) => {
      const settlement = await handler(delivery);
      if (typeof settlement === 'string' || ladder === undefined) return settlement;
      return (await ladder.take(delivery, settlement.failed)) ? 'ack' : 'reject';
    },
    afterStop: async () => ladder?.close(),
  });
}
