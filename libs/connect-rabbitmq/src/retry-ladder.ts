import { createHash } from 'node:crypto';
import { type DeadLetterReason, errorMessage, WeirError } from '@weir/flow';
import { rateLimited } from '@weir/observe';
import { deadLetterHeaders } from '@weir/reading';
import { EXCHANGES, RETRY_DELAYS_MS, retryQueueName } from '@weir/topology';
import { openPublisher } from './publisher.ts';
import type { Delivery, OutgoingMessage, PublisherOptions, RetryOptions } from './types.ts';

const HEADERS = {
  attempt: 'x-weir-attempt',
  failedAt: 'x-weir-failed-at',
  exchange: 'x-weir-exchange',
  key: 'x-weir-key',
} as const;

/** Of the broker, about ways that a new message has not gone. */
const BROKER_HEADERS = /^x-(death|(first|last)-death-|delivery-count|acquired-count)/;

const REASONS: Partial<Record<WeirError['code'], DeadLetterReason>> = {
  WEIR_DECODE: 'decode',
  WEIR_SCHEMA: 'schema',
  WEIR_RANGE: 'range',
  WEIR_TIMEOUT: 'timeout',
};

/** Where a delivery was published first: a message that waited on a rung comes back by the default exchange. */
export function publishedTo(
  headers: Readonly<Record<string, unknown>>,
  fields: { readonly exchange: string; readonly routingKey: string },
): { exchange: string; key: string } {
  const { [HEADERS.exchange]: exchange, [HEADERS.key]: key } = headers;
  return typeof exchange === 'string' && typeof key === 'string'
    ? { exchange, key }
    : { exchange: fields.exchange, key: fields.routingKey };
}

/** Messages that failed: tried again later, and buried after the last attempt. */
export interface RetryLadder {
  /**
   * Resolves when the message is safe on its next rung or in the dead-letter queue, so that the delivery may be
   * acknowledged; false: it is in neither, and must go back to its queue.
   */
  take(delivery: Delivery, error: Error): Promise<boolean>;
  close(): Promise<void>;
}

/** Nothing is connected before the first failure. */
export function openRetryLadder(options: PublisherOptions & { readonly retry: RetryOptions }): RetryLadder {
  const { log, retry } = options;
  const delays = retry.delaysMs ?? RETRY_DELAYS_MS;
  const limited = rateLimited();
  let publisher: ReturnType<typeof openPublisher> | undefined;

  /** The message with what its headers must say on the way. */
  const forward = (
    delivery: Delivery,
    to: Pick<OutgoingMessage, 'exchange' | 'key'>,
    headers: Readonly<Record<string, unknown>>,
  ): OutgoingMessage => ({
    ...to,
    body: delivery.body,
    contentType: delivery.contentType ?? 'application/octet-stream',
    ...(delivery.messageId === undefined ? {} : { messageId: delivery.messageId }),
    headers: {
      ...Object.fromEntries(Object.entries(delivery.headers).filter(([name]) => !BROKER_HEADERS.test(name))),
      [HEADERS.exchange]: delivery.exchange,
      [HEADERS.key]: delivery.key,
      ...headers,
    },
  });

  const climb = (delivery: Delivery, attempt: number, failedAt: number): OutgoingMessage => {
    const delayMs = delays[attempt] as number;
    const to = { exchange: '', key: retryQueueName(delivery.queue, delayMs) };
    return forward(delivery, to, { [HEADERS.attempt]: attempt + 1, [HEADERS.failedAt]: failedAt });
  };

  const bury = (delivery: Delivery, error: Error, failedAt: number): OutgoingMessage => {
    const { headers, queue } = delivery;
    const { [HEADERS.attempt]: _attempt, [HEADERS.failedAt]: _failedAt, ...own } = headers;
    const text = (name: string): string | undefined => {
      const value = headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const letter = deadLetterHeaders({
      // A letter that was sent again stays the same letter; one that is buried twice over a crash, too.
      id: text('x-dlq-id') ?? letterId(delivery, failedAt),
      reason: (error instanceof WeirError ? REASONS[error.code] : undefined) ?? 'poison',
      stage: retry.stage,
      errorClass: error instanceof WeirError ? error.code : error.name,
      errorMessage: errorMessage(error),
      firstFailedAt: failedAt,
      lastFailedAt: Date.now(),
      originSystem: 'rabbitmq',
      origin: queue,
      originalTimestamp: failedAt,
      retryable: !isData(error),
      replayCount: Number(headers['x-dlq-replay-count'] ?? 0),
    });
    return forward(
      { ...delivery, headers: own },
      { exchange: EXCHANGES.deadLetters.name, key: queue },
      letter,
    );
  };

  return {
    take: async (delivery, error) => {
      const attempt = Number(delivery.headers[HEADERS.attempt] ?? 0);
      const failedAt = Number(delivery.headers[HEADERS.failedAt] ?? Date.now());
      const isLast = isData(error) || !(attempt < delays.length);
      const message = isLast ? bury(delivery, error, failedAt) : climb(delivery, attempt, failedAt);
      publisher ??= openPublisher({ ...options, name: `${options.name ?? 'weir'}, retries` });
      try {
        const failures = await publisher.publish([message]);
        if (failures.size > 0)
          throw new WeirError(
            'WEIR_REJECTED',
            'transient',
            `${message.key}: ${[...failures.values()].join()}`,
          );
        retry.onFailure?.(isLast ? 'buried' : 'waits', error);
        limited(isLast ? 'buried' : 'waits', (suppressed) =>
          log.warn(
            { queue: delivery.queue, attempt: attempt + 1, error: errorMessage(error), suppressed },
            isLast
              ? 'a message failed and is a dead letter now'
              : `a message failed and is tried again in ${(delays[attempt] as number) / 1_000} s`,
          ),
        );
        return true;
      } catch (refusal) {
        retry.onFailure?.('returned', error);
        limited('returned', (suppressed) =>
          log.warn(
            { queue: delivery.queue, error: errorMessage(refusal), suppressed },
            'a message that failed goes back to its queue: the broker does not take it for a later attempt',
          ),
        );
        return false;
      }
    },
    close: async () => publisher?.close(),
  };
}

/** No attempt can mend it. */
const isData = (error: Error): boolean => error instanceof WeirError && error.retry === 'data';

function letterId({ queue, exchange, key, body }: Delivery, failedAt: number): string {
  return createHash('sha256')
    .update(`${queue}\0${exchange}\0${key}\0${failedAt}\0`)
    .update(body)
    .digest('hex')
    .slice(0, 32);
}
