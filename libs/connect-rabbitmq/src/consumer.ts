import { subscribe } from './subscription.ts';
import type { Consumer, ConsumerOptions } from './types.ts';

/** Consumes one durable queue on a connection of its own. Touches no network before `start`. */
export function openConsumer(options: ConsumerOptions): Consumer {
  return subscribe({
    ...options,
    what: `queue ${options.queue}`,
    prepare: async (channel) => {
      await channel.checkQueue(options.queue);
      return options.queue;
    },
  });
}
