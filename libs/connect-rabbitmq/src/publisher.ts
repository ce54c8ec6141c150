import { WeirError } from '@weir/flow';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { ANSWER_TIMEOUT_MS, dial, hangUp } from './connection.ts';
import { lossError } from './errors.ts';
import type { OutgoingMessage, Publisher, PublisherOptions, PublishFailure } from './types.ts';

// A short string of AMQP carries its length in one byte.
const SHORT_STRING_BYTES = 255;
// amqplib encodes the headers of a message into 64 KiB.
const HEADERS_BYTES = 60_000;

/** The messages of one `publish` call that the broker has not answered for. */
interface Batch {
  readonly failures: Map<number, PublishFailure>;
  waiting: number;
  sent: boolean;
  readonly resolve: (failures: ReadonlyMap<number, PublishFailure>) => void;
  readonly reject: (error: Error) => void;
}

interface Unanswered {
  readonly batch: Batch;
  readonly index: number;
  readonly sentAt: number;
}

const CHECK_MS = 1_000;

/** A connection with its confirm channel; it ends as a whole and is never mended. */
interface Link {
  readonly connection: ChannelModel;
  readonly channel: ConfirmChannel;
  /** Sequence number of a message → where its answer belongs. */
  readonly unanswered: Map<number, Unanswered>;
  next: number;
  ended: WeirError | undefined;
  readonly whenEnded: AbortController;
}

/** Refuses what AMQP cannot carry before anything is sent: found later it would cost the connection. */
function checkMessages(messages: readonly OutgoingMessage[]): void {
  for (const [index, message] of messages.entries()) {
    const refuse = (what: string): never => {
      throw new WeirError(
        'WEIR_RANGE',
        'data',
        `publishing message ${index} of ${messages.length}: its ${what}`,
      );
    };
    for (const [field, text] of [
      ['routing key', message.key],
      ['exchange', message.exchange],
      ['message id', message.messageId ?? ''],
      ['content type', message.contentType],
    ] as const) {
      if (Buffer.byteLength(text) > SHORT_STRING_BYTES)
        refuse(`${field} is longer than ${SHORT_STRING_BYTES} bytes`);
    }
    let bytes = 0;
    for (const name in message.headers) {
      if (Buffer.byteLength(name) > SHORT_STRING_BYTES)
        refuse(`header ${name.slice(0, 32)}… has a name of more than ${SHORT_STRING_BYTES} bytes`);
      bytes += Buffer.byteLength(name) + Buffer.byteLength(String(message.headers[name])) + 8;
    }
    if (bytes > HEADERS_BYTES) refuse(`headers are larger than ${HEADERS_BYTES} bytes`);
  }
}

export function openPublisher(options: PublisherOptions): Publisher {
  const { log } = options;
  let link: Link | undefined;
  let connecting: Promise<Link> | undefined;
  let blocked = false;
  let closed = false;

  const end = (ending: Link, error: unknown): void => {
    if (ending.ended !== undefined) return;
    ending.ended = lossError('publishing to RabbitMQ', error);
    if (link === ending) {
      link = undefined;
      blocked = false;
    }
    ending.whenEnded.abort();
    for (const { batch } of ending.unanswered.values()) batch.reject(ending.ended);
    ending.unanswered.clear();
    void hangUp(ending.connection);
  };

  const open = async (): Promise<Link> => {
    const connection = await dial(options);
    let channel: ConfirmChannel;
    const late = setTimeout(() => void hangUp(connection), ANSWER_TIMEOUT_MS);
    try {
      channel = await connection.createConfirmChannel();
    } catch (error) {
      await hangUp(connection);
      throw lossError('opening a channel to RabbitMQ', error);
    } finally {
      clearTimeout(late);
    }
    const opened: Link = {
      connection,
      channel,
      unanswered: new Map(),
      next: 1,
      ended: undefined,
      whenEnded: new AbortController(),
    };
    // `error` comes before `close` and knows the reason; `end` keeps the first.
    channel.on('error', (error) => end(opened, error));
    channel.on('close', () => end(opened, undefined));
    connection.on('error', (error) => end(opened, error));
    connection.on('close', (error) => end(opened, error));
    let waitsSince = 0;
    const watch = setInterval(() => {
      const [oldest] = opened.unanswered.values();
      if (blocked || oldest === undefined) waitsSince = performance.now();
      else if (performance.now() - Math.max(oldest.sentAt, waitsSince) > ANSWER_TIMEOUT_MS)
        end(opened, new Error(`no confirm for ${ANSWER_TIMEOUT_MS / 1_000} s`));
    }, CHECK_MS);
    watch.unref();
    opened.whenEnded.signal.addEventListener('abort', () => clearInterval(watch), { once: true });
    connection.on('blocked', (reason) => {
      blocked = true;
      log.warn({ reason }, 'RabbitMQ takes no messages for now: it is short of memory or disk');
    });
    connection.on('unblocked', () => {
      blocked = false;
      log.info('RabbitMQ takes messages again');
    });
    // A message without a queue comes back first and is confirmed after that.
    channel.on('return', (message) => {
      const entry = opened.unanswered.get(Number(message.properties.correlationId));
      entry?.batch.failures.set(entry.index, 'unroutable');
    });
    if (closed) {
      end(opened, undefined);
      throw new WeirError('WEIR_STATE', 'transient', 'connecting to RabbitMQ: the publisher is closed');
    }
    link = opened;
    return opened;
  };

  const connected = (): Promise<Link> => {
    if (closed)
      return Promise.reject(
        new WeirError('WEIR_STATE', 'transient', 'publishing to RabbitMQ: the publisher is closed'),
      );
    if (link !== undefined) return Promise.resolve(link);
    connecting ??= open().finally(() => {
      connecting = undefined;
    });
    return connecting;
  };

  const answer = (over: Link, seq: number, failed: boolean): void => {
    const entry = over.unanswered.get(seq);
    if (entry === undefined) return; // the link has ended and the batch was told so
    over.unanswered.delete(seq);
    const { batch, index } = entry;
    if (failed) batch.failures.set(index, 'nacked');
    batch.waiting--;
    if (batch.waiting === 0 && batch.sent) batch.resolve(batch.failures);
  };

  const send = (over: Link, message: OutgoingMessage, batch: Batch, index: number): boolean => {
    const seq = over.next++;
    over.unanswered.set(seq, { batch, index, sentAt: performance.now() });
    batch.waiting++;
    return over.channel.publish(
      message.exchange,
      message.key,
      message.body,
      {
        mandatory: true,
        persistent: message.persistent ?? true,
        contentType: message.contentType,
        correlationId: String(seq), // ties a returned message to its batch
        timestamp: Math.floor(Date.now() / 1_000), // seconds, by [AMQP-0-9-1 4.2.5.4]
        ...(message.headers === undefined ? {} : { headers: message.headers }),
        ...(message.messageId === undefined ? {} : { messageId: message.messageId }),
        ...(message.expiresMs === undefined ? {} : { expiration: message.expiresMs }),
      },
      (error: unknown) => {
        if (over.ended === undefined && !isClosing(error)) answer(over, seq, error !== null);
      },
    );
  };

  const publish = async (
    messages: readonly OutgoingMessage[],
  ): Promise<ReadonlyMap<number, PublishFailure>> => {
    checkMessages(messages);
    if (messages.length === 0) return new Map();
    const over = await connected();
    const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<number, PublishFailure>>();
    promise.catch(() => {}); // awaited below, after the sending: it must not count as unhandled before that
    const batch: Batch = { failures: new Map(), waiting: 0, sent: false, resolve, reject };
    for (const [index, message] of messages.entries()) {
      let free: boolean;
      try {
        if (over.ended !== undefined) throw over.ended;
        free = send(over, message, batch, index);
      } catch (error) {
        // Half of a message may be in the socket's buffer, so the link cannot go on.
        end(over, error);
        throw over.ended ?? error;
      }
      if (!free) await drained(over);
    }
    batch.sent = true;
    if (batch.waiting === 0 && over.ended === undefined) resolve(batch.failures);
    return promise;
  };

  return {
    connect: async () => {
      await connected();
    },
    publish,
    get blocked() {
      return blocked;
    },
    get connected() {
      return link !== undefined;
    },
    close: async () => {
      closed = true;
      await connecting?.catch(() => {});
      const ending = link;
      if (ending === undefined) return;
      link = undefined;
      await hangUp(ending.connection);
      end(ending, undefined);
    },
  };
}

/** amqplib tells every unconfirmed message that its channel closed; that is a loss, not a refusal. */
function isClosing(error: unknown): boolean {
  return error instanceof Error && error.message === 'channel closed';
}

/** Until amqplib's buffer has room again, or the link has ended. */
function drained(over: Link): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      over.channel.off('drain', done);
      over.whenEnded.signal.removeEventListener('abort', done);
      resolve();
    };
    over.channel.once('drain', done);
    over.whenEnded.signal.addEventListener('abort', done, { once: true });
    if (over.ended !== undefined) done();
  });
}
