import { setTimeout as delay } from 'node:timers/promises';
import { fullJitter, WeirError } from '@weir/flow';

const BACKOFF = { baseMs: 100, maxMs: 1_500 };

export interface Persistence {
  /** Ends the trying; an attempt under way is not interrupted. */
  readonly stopping: AbortSignal;
  readonly onFailure: (error: Error) => void;
}

/** The stop came before a delivery; what was to be delivered stays in the spool. */
export class StoppedError extends Error {}

export async function pause(attempt: number, stopping: AbortSignal): Promise<void> {
  if (!stopping.aborted) {
    await delay(fullJitter(attempt, BACKOFF), undefined, { signal: stopping }).catch(() => {});
  }
  if (stopping.aborted) throw new StoppedError('stopping');
}

/**
 * Tries until it works. Refused credentials are tried again, too: the spool holds what comes meanwhile, and the edge
 * goes on when they are put right. Throws what no repetition can mend: data errors and bugs.
 */
export async function persist<T>(work: () => Promise<T>, { stopping, onFailure }: Persistence): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof WeirError) || error.retry === 'data') throw error;
      onFailure(error);
      await pause(attempt, stopping);
    }
  }
}
