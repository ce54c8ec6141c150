import { subscribe } from './subscription.ts';
import type { Consumer, LiveQueueOptions } from './types.ts';

const DEFAULT_PREFETCH = 100;

/**
 * A bounded queue of this connection alone: it begins empty, drops its oldest messages when the handler is slower than
 * the stream, is gone with the connection and made anew after a loss. What was published meanwhile is missed.
 */
export function openLiveQueue(options: LiveQueueOptions): Consumer {
  return subscribe({
    ...options,
    what: `a live queue of ${options.bindings.map((binding) => binding.exchange).join(', ')}`,
    prefetch: options.prefetch ?? DEFAULT_PREFETCH,
    prepare: async (channel) => {
      const { queue } = await channel.assertQueue('', {
        exclusive: true,
        autoDelete: true,
        durable: false,
        arguments: options.arguments,
      });
      for (const { exchange, key, headers } of options.bindings) {
        await channel.bindQueue(queue, exchange, key, headers);
      }
      return queue;
    },
    handler: async (delivery) => {
      await options.handler(delivery);
      return 'ack';
    },
  });
}
