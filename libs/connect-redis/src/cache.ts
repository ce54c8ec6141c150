import { errorMessage, WeirError } from '@weir/flow';
import { type Logger, rateLimited } from '@weir/observe';
import { Redis } from 'ioredis';

export interface CacheOptions {
  /** `redis://[user:password@]host:port[/db]`. */
  readonly url: string;
  readonly log: Logger;
  /** Longest time one call may take, in milliseconds; 40 by default. */
  readonly deadlineMs?: number;
  /** After a deadline was missed, calls fail at once for this many milliseconds; 1000 by default. */
  readonly pauseMs?: number;
}

/**
 * A cache that is allowed to be away. Every call ends within `deadlineMs`: with an answer, or with a transient
 * `WeirError` (`WEIR_CONNECT_FAILED`, `WEIR_CONNECTION_LOST` or `WEIR_TIMEOUT`). Nothing is queued for later.
 */
export interface Cache {
  /** The stored value, or null when there is none. */
  get(key: string): Promise<string | null>;
  /** Stores `value` for `ttlMs` milliseconds (at least 1). */
  set(key: string, value: string, ttlMs: number): Promise<void>;
  /** Asks the server for a sign of life; touches no data. */
  check(): Promise<void>;
  readonly state: 'ready' | 'paused' | 'away';
  /** Idempotent. */
  close(): void;
}

/** Starts connecting in the background and reconnects by itself for ever; returns at once. */
export function openCache({ url, log, deadlineMs = 40, pauseMs = 1_000 }: CacheOptions): Cache {
  const report = rateLimited();
  let pausedUntil = 0;
  let closed = false;
  const client = new Redis(url, {
    // A request must not wait for a server that is away: it fails now, and the caller goes to the database.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    // A connection that answers nothing for this long is made anew; the deadline of a call is below.
    socketTimeout: 5_000,
    connectTimeout: 2_000,
    // Full jitter, up to 2 s: a restarted server is not met by every gateway at once.
    retryStrategy: (attempt) => Math.ceil(Math.random() * Math.min(2_000, 50 * 2 ** Math.min(attempt, 10))),
    connectionName: 'weir-cache',
  });
  client.on('error', (error: Error) => {
    report('connection', (suppressed) =>
      log.warn({ err: error, suppressed }, `cache: Redis is away: ${errorMessage(error)}`),
    );
  });

  const call = async <T>(doing: string, work: () => Promise<T>): Promise<T> => {
    if (closed || client.status !== 'ready') {
      throw new WeirError('WEIR_CONNECT_FAILED', 'transient', `${doing}: Redis is away (${client.status})`);
    }
    if (performance.now() < pausedUntil) {
      throw new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: Redis did not answer a moment ago`);
    }
    try {
      return await within(deadlineMs, work());
    } catch (error) {
      throw mapped(doing, error);
    }
  };
  const mapped = (doing: string, error: unknown): WeirError => {
    const text = errorMessage(error);
    if (error instanceof DeadlineError) {
      // A frozen server would cost every request the whole deadline; one request a second is enough to notice its return.
      pausedUntil = performance.now() + pauseMs;
      return new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: no answer within ${deadlineMs} ms`, error);
    }
    // A reply that is an error (out of memory, read-only replica, wrong type): the server lives, the call failed.
    const refused = error instanceof Error && error.name === 'ReplyError';
    return new WeirError(
      refused ? 'WEIR_REJECTED' : 'WEIR_CONNECTION_LOST',
      'transient',
      `${doing}: ${text}`,
      error,
    );
  };

  return {
    get: (key) => call('reading the cache', () => client.get(key)),
    set: async (key, value, ttlMs) => {
      await call('writing the cache', () => client.set(key, value, 'PX', Math.max(1, Math.round(ttlMs))));
    },
    check: async () => {
      await call('checking the cache', () => client.ping());
    },
    get state() {
      if (client.status !== 'ready') return 'away';
      return performance.now() < pausedUntil ? 'paused' : 'ready';
    },
    close: () => {
      if (closed) return;
      closed = true;
      client.disconnect();
    },
  };
}

class DeadlineError extends Error {}

/**
 * `work`, or a `DeadlineError`. On a busy machine the timer may be overdue while the answer waits to be read, so the
 * sockets get one turn before the deadline counts as missed.
 */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => setImmediate(() => setImmediate(() => reject(new DeadlineError()))), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // The loser of the race must not become an unhandled rejection.
    late.catch(() => undefined);
    work.catch(() => undefined);
  }
}
