import { setTimeout as delay } from 'node:timers/promises';
import { fullJitter, WeirError } from '@weir/flow';
import { type Logger, rateLimited } from '@weir/observe';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { ANSWER_TIMEOUT_MS, dial, hangUp } from './connection.ts';
import { lossError } from './errors.ts';
import { publishedTo } from './retry-ladder.ts';
import type { ConnectionOptions, Consumer, Delivery, Settlement } from './types.ts';

const BACKOFF = { baseMs: 100, maxMs: 5_000 };

export interface SubscriptionOptions extends ConnectionOptions {
  /** For messages, for example `queue weir.alerter.events`. */
  readonly what: string;
  readonly prefetch: number;
  /** Makes or checks the queue on a fresh channel and returns its name. */
  readonly prepare: (channel: Channel) => Promise<string>;
  readonly handler: (delivery: Delivery) => Promise<Settlement>;
  /** Closes what the handler uses, when the last delivery is settled. */
  readonly afterStop?: () => Promise<void>;
  readonly log: Logger;
}

function toDelivery(queue: string, message: ConsumeMessage, session: number): Delivery {
  const { fields, properties } = message;
  const headers = properties.headers ?? {};
  const count: unknown = headers['x-delivery-count'];
  return {
    queue,
    ...publishedTo(headers, fields),
    body: message.content,
    headers,
    contentType: properties.contentType,
    messageId: properties.messageId,
    redelivered: fields.redelivered,
    session,
    deliveryCount: typeof count === 'number' ? count : 0,
  };
}

function settle(channel: Channel, message: ConsumeMessage, settlement: Settlement): void {
  try {
    if (settlement === 'ack') channel.ack(message);
    else if (settlement === 'requeue') channel.nack(message, false, true);
    else channel.reject(message, true);
  } catch {
    // The channel has ended meanwhile: the broker has taken the delivery back and will deliver it again.
  }
}

/** A consumer that subscribes again after every loss: of the connection, the channel, the queue or the subscription. */
export function subscribe(options: SubscriptionOptions): Consumer {
  const { log, what } = options;
  const stopping = new AbortController();
  const limited = rateLimited();
  let running: Promise<void> | undefined;
  let consuming = false;
  let sessions = 0;
  let inFlight = 0;
  let idle: (() => void) | undefined;
  let lastError: Error | undefined = new WeirError('WEIR_STATE', 'transient', `${what}: not started`);

  const handle = async (
    channel: Channel,
    queue: string,
    message: ConsumeMessage,
    session: number,
  ): Promise<void> => {
    inFlight++;
    try {
      settle(channel, message, await options.handler(toDelivery(queue, message, session)));
    } finally {
      inFlight--;
      if (inFlight === 0) idle?.();
    }
  };

  /** One connection from its opening to its end. Throws why it ended; returns when the stop ended it. */
  const session = async (onConsuming: () => void): Promise<void> => {
    const connection: ChannelModel = await dial(options);
    let late: NodeJS.Timeout | undefined;
    try {
      const lost = Promise.withResolvers<never>();
      lost.promise.catch(() => {});
      const end = (error: unknown): void => lost.reject(lossError(`consuming ${what}`, error));
      connection.on('error', end);
      connection.on('close', end);
      late = setTimeout(
        () => end(new Error(`no answer for ${ANSWER_TIMEOUT_MS / 1_000} s`)),
        ANSWER_TIMEOUT_MS,
      );
      const channel = await Promise.race([connection.createChannel(), lost.promise]);
      channel.on('error', end);
      channel.on('close', () => end(undefined));
      await Promise.race([channel.prefetch(options.prefetch), lost.promise]);
      const queue = await Promise.race([options.prepare(channel), lost.promise]);
      const session = ++sessions;
      const { consumerTag } = await Promise.race([
        channel.consume(queue, (message) => {
          if (message === null) end(new Error('the broker cancelled the subscription'));
          // What arrives during the stop stays unsettled and returns to the queue with the close.
          else if (!stopping.signal.aborted) void handle(channel, queue, message, session);
        }),
        lost.promise,
      ]);
      clearTimeout(late);
      onConsuming();
      const stopped = new Promise<void>((resolve) => {
        if (stopping.signal.aborted) resolve();
        stopping.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.race([stopped, lost.promise]);
      await Promise.race([channel.cancel(consumerTag), lost.promise]);
      while (inFlight > 0) {
        await Promise.race([
          new Promise<void>((resolve) => {
            idle = resolve;
          }),
          lost.promise,
        ]);
      }
    } finally {
      clearTimeout(late);
      consuming = false;
      await hangUp(connection);
    }
  };

  const run = async (): Promise<void> => {
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      try {
        await session(() => {
          attempt = 0;
          consuming = true;
          lastError = undefined;
          log.info({ what: options.what }, `consuming ${what}`);
        });
      } catch (error) {
        lastError = error instanceof WeirError ? error : lossError(`consuming ${what}`, error);
        if (stopping.signal.aborted) return;
        const waitMs = fullJitter(attempt, BACKOFF);
        const { message } = lastError;
        limited(message, (suppressed) => log.warn({ suppressed, waitMs: Math.round(waitMs) }, message));
        await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
      }
    }
  };

  return {
    start: () => {
      running ??= run();
    },
    stop: async () => {
      stopping.abort();
      await running;
      // A lost connection ends the session before its handlers: the owner may only close what they use after them.
      while (inFlight > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
      await options.afterStop?.();
    },
    get consuming() {
      return consuming;
    },
    get session() {
      return sessions;
    },
    get inFlight() {
      return inFlight;
    },
    get lastError() {
      return lastError;
    },
  };
}
