import { isTransient, retrying } from '@weir/flow';
import type { IndexerEvents } from './events.ts';

/** Makes a function that does a step until it is done, however long a server is away, and tells what it waits for. */
export function persisting(events: IndexerEvents, signal: AbortSignal) {
  return async function persist<T>(
    step: Parameters<IndexerEvents['done']>[0],
    work: () => Promise<T>,
  ): Promise<T> {
    const result = await retrying(work, {
      signal,
      shouldRetry: isTransient,
      onRetry: (error, attempt) => events.waiting(step, error, attempt),
    });
    events.done(step);
    return result;
  };
}
