import { setTimeout as delay } from 'node:timers/promises';
import { isTransient } from './errors.ts';

export interface BackoffOptions {
  /** First upper bound in milliseconds. */
  readonly baseMs: number;
  /** Largest upper bound in milliseconds. */
  readonly maxMs: number;
  readonly random?: () => number;
}

/**
 * Full-jitter exponential back-off: a uniform draw from [0, min(max, base · 2^attempt)].
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function fullJitter(attempt: number, { baseMs, maxMs, random = Math.random }: BackoffOptions): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
}

export interface RetryOptions extends Partial<BackoffOptions> {
  readonly signal?: AbortSignal;
  /** Largest number of attempts; unlimited when absent. */
  readonly attempts?: number;
  readonly shouldRetry?: (error: unknown) => boolean;
  readonly onRetry?: (error: unknown, attempt: number, waitMs: number) => void;
}

/** Runs `work` until it succeeds, fails in a way that a retry cannot mend, or `signal` aborts. */
export async function retrying<T>(work: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const {
    baseMs = 100,
    maxMs = 5_000,
    attempts = Number.POSITIVE_INFINITY,
    shouldRetry = isTransient,
  } = options;
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (attempt + 1 >= attempts || !shouldRetry(error)) throw error;
      const waitMs = fullJitter(attempt, { baseMs, maxMs });
      options.onRetry?.(error, attempt + 1, waitMs);
      await delay(waitMs, undefined, options.signal ? { signal: options.signal } : undefined);
    }
  }
}
