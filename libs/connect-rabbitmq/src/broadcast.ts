import type { Logger } from '@weir/observe';
import { type BroadcastMessage, EXCHANGES } from '@weir/topology';
import { openLiveQueue } from './live-queue.ts';
import { openPublisher } from './publisher.ts';
import type { ConnectionOptions } from './types.ts';

/** Only what was said in the last seconds matters. */
const QUEUE = { 'x-max-length': 1_000, 'x-overflow': 'drop-head', 'x-message-ttl': 5_000 } as const;

type Kind = BroadcastMessage['kind'];
type Handler<K extends Kind> = (message: Extract<BroadcastMessage, { kind: K }>) => void;

/** Says things to every edge and gateway, and hears what they say. */
export interface Broadcast {
  /** Resolves when the broker has it. Throws `WeirError`, transient when the broker is away. */
  tell(message: BroadcastMessage): Promise<void>;
  /** Hears a kind; its fields come from whoever may publish and are not checked. One handler for each kind. */
  hear<K extends Kind>(kind: K, handler: Handler<K>): void;
  /** Begins to listen. What is said before, or while RabbitMQ is away, is not heard. */
  start(): void;
  /** Idempotent. */
  stop(): Promise<void>;
}

export interface BroadcastOptions extends ConnectionOptions {
  readonly log: Logger;
}

/** On connections of its own: a slow consumer or a blocked publisher elsewhere does not hold it up. */
export function openBroadcast(options: BroadcastOptions): Broadcast {
  const handlers = new Map<string, (message: never) => void>();
  const publisher = openPublisher(options);
  const consumer = openLiveQueue({
    ...options,
    bindings: [{ exchange: EXCHANGES.broadcast.name, key: '' }],
    arguments: QUEUE,
    handler: ({ body }) => {
      let message: { readonly kind?: unknown } | null;
      try {
        message = JSON.parse(body.toString('utf8')) as { readonly kind?: unknown } | null;
      } catch {
        return; // somebody else's message
      }
      if (typeof message?.kind === 'string') handlers.get(message.kind)?.(message as never);
    },
  });
  return {
    tell: async (message) => {
      await publisher.publish([
        {
          exchange: EXCHANGES.broadcast.name,
          key: '',
          body: Buffer.from(JSON.stringify(message)),
          contentType: 'application/json',
          persistent: false,
        },
      ]);
    },
    hear: (kind, handler) => {
      handlers.set(kind, handler as (message: never) => void);
    },
    start: () => consumer.start(),
    stop: async () => {
      await Promise.all([consumer.stop(), publisher.close()]);
    },
  };
}
