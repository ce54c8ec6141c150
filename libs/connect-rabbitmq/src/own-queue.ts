import type { Queue } from '@weir/topology';
import type { Channel } from 'amqplib';
import { subscribe } from './subscription.ts';
import type { Consumer, ConsumerOptions } from './types.ts';

/** A durable queue that belongs to one process, which declares it and binds it as its needs grow. */
export interface OwnQueue extends Consumer {
  /** Binds the queue now, or with the next connection, and after every loss again. Idempotent. */
  bind(exchange: string, key: string): void;
}

export interface OwnQueueOptions extends Omit<ConsumerOptions, 'queue'> {
  readonly queue: Queue;
}

export function openOwnQueue(options: OwnQueueOptions): OwnQueue {
  const { queue } = options;
  const bindings = new Map(queue.bindings.map((binding) => [`${binding.exchange}\0${binding.key}`, binding]));
  let live: Channel | undefined;
  const consumer = subscribe({
    ...options,
    what: `queue ${queue.name}`,
    prepare: async (channel) => {
      await channel.assertQueue(queue.name, { durable: true, arguments: { ...queue.arguments } });
      live = channel;
      channel.once('close', () => {
        if (live === channel) live = undefined;
      });
      for (const { exchange, key } of bindings.values()) await channel.bindQueue(queue.name, exchange, key);
      return queue.name;
    },
  });
  return {
    start: consumer.start,
    stop: consumer.stop,
    get consuming() {
      return consumer.consuming;
    },
    get session() {
      return consumer.session;
    },
    get inFlight() {
      return consumer.inFlight;
    },
    get lastError() {
      return consumer.lastError;
    },
    bind: (exchange, key) => {
      const name = `${exchange}\0${key}`;
      if (bindings.has(name)) return;
      bindings.set(name, { exchange, key });
      // A refusal ends the channel; the next one binds all of them.
      live?.bindQueue(queue.name, exchange, key).catch(() => undefined);
    },
  };
}
