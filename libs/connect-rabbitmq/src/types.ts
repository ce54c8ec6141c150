import type { Logger } from '@weir/observe';

/** Arguments that Weir gives to queues and bindings. */
export type Headers = Readonly<Record<string, string | number | boolean>>;

export interface ConnectionOptions {
  /** `amqp://user:password@host:port/vhost`. */
  readonly url: string;
  /** AMQP heartbeat in milliseconds; a peer silent for two of them is lost. Default 10,000. */
  readonly heartbeatMs?: number;
  /** Shown in the broker's list of connections. */
  readonly name?: string;
}

export interface OutgoingMessage {
  readonly exchange: string;
  readonly key: string;
  readonly body: Buffer;
  /** Text, numbers and flags, or what a delivery had. */
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly contentType: string;
  readonly messageId?: string;
  /** Milliseconds after which a queue drops it, when nobody has it in hand. */
  readonly expiresMs?: number;
  /** Survives a restart of the broker in a durable queue. Default true. */
  readonly persistent?: boolean;
}

/** Why the broker did not take a message: no queue is bound for it, or its queues refused it (full). */
export type PublishFailure = 'unroutable' | 'nacked';

export interface PublisherOptions extends ConnectionOptions {
  readonly log: Logger;
}

/** A connection of its own for publishing with confirms. */
export interface Publisher {
  /**
   * Connects when there is no live connection, else does nothing. Throws `WeirError`: transient when the broker is
   * away or its virtual host is not up, fatal when it refuses the credentials.
   */
  connect(): Promise<void>;
  /**
   * Publishes the batch `mandatory` and resolves when the broker has answered for every message: index → failure for
   * those it did not take, an empty map when it took all. Connects first when there is no live connection. Any number
   * of batches may be in flight; messages of one publisher keep their order.
   *
   * Throws `WeirError`: transient when the connection or the channel is lost (nothing that was not confirmed may be
   * counted as sent; the broker may still have taken some of it), data when a message cannot be expressed in AMQP
   * (then nothing of the batch is sent).
   */
  publish(messages: readonly OutgoingMessage[]): Promise<ReadonlyMap<number, PublishFailure>>;
  /** The broker has run out of memory or disk and reads nothing from this connection; publishes wait. */
  readonly blocked: boolean;
  readonly connected: boolean;
  /** Closes the connection; batches that still wait throw transient. Idempotent. */
  close(): Promise<void>;
}

export interface Delivery {
  readonly queue: string;
  /** Where it was published first, also after it waited for another attempt. */
  readonly exchange: string;
  readonly key: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly contentType: string | undefined;
  readonly messageId: string | undefined;
  readonly redelivered: boolean;
  /**
   * Counts the subscriptions of this consumer, from 1: it grows when the connection was lost. What an older session
   * delivered and this one did not settle comes again.
   */
  readonly session: number;
  /** How often the broker delivered it before, as quorum queues count it (`x-delivery-count`). */
  readonly deliveryCount: number;
}

/**
 * `ack`: done. `requeue`: busy, try later (AMQP nack). `reject`: failed (AMQP reject); after the queue's delivery limit
 * it becomes a dead letter. From RabbitMQ 4.3 on only `reject` counts towards that limit; before, both do.
 * `failed`: climbs the retry ladder of a consumer that has one, and is buried with its error when no attempt can mend
 * it (a data error) or after the last; without a ladder the same as `reject`.
 */
export type Settlement = 'ack' | 'requeue' | 'reject' | { readonly failed: Error };

export interface RetryOptions {
  /** The step that handles the messages, for the dead letter. */
  readonly stage: string;
  /** Rungs, each a queue named by `retryQueueName`. Default `RETRY_DELAYS_MS`. */
  readonly delaysMs?: readonly number[];
  /** `waits` on a rung, `buried` in the dead-letter queue, `returned` to its queue because the broker refused both. */
  readonly onFailure?: (outcome: 'waits' | 'buried' | 'returned', error: Error) => void;
}

export interface ConsumerOptions extends ConnectionOptions {
  readonly queue: string;
  /** Deliveries that may wait for their settlement at a time, 1 to 65,535. */
  readonly prefetch: number;
  /** Called as deliveries arrive, up to `prefetch` at a time. One that throws is a bug: the rejection is not caught. */
  readonly handler: (delivery: Delivery) => Promise<Settlement>;
  /** What becomes of a message that failed; the queue must have its rungs in the topology. */
  readonly retry?: RetryOptions;
  readonly log: Logger;
}

export interface Consumer {
  /** Begins to connect and consume, and does so again after every loss, with full jitter up to 5 s. */
  start(): void;
  /** Takes no more, waits for the handlers in flight and settles them, then closes. Idempotent. */
  stop(): Promise<void>;
  /** Subscribed now. */
  readonly consuming: boolean;
  /** Of the newest subscription; see `Delivery.session`. */
  readonly session: number;
  /** Deliveries whose handler has not settled. */
  readonly inFlight: number;
  /** Why it is not consuming, undefined when it is. */
  readonly lastError: Error | undefined;
}

export interface LiveBinding {
  readonly exchange: string;
  /** Routing key pattern of a topic exchange; empty for a headers exchange. */
  readonly key: string;
  /** Arguments of a headers exchange. */
  readonly headers?: Headers;
}

export interface LiveQueueOptions extends ConnectionOptions {
  readonly bindings: readonly LiveBinding[];
  /** Bounds of the queue; `liveQueueArguments` of the topology unless there is a reason. */
  readonly arguments: Headers;
  /** Deliveries in hand at a time; beyond it the queue fills and drops its oldest. Default 100. */
  readonly prefetch?: number;
  readonly handler: (delivery: Delivery) => void | Promise<void>;
  readonly log: Logger;
}
