import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, WeirError } from '@weir/flow';

export interface UntilOptions {
  /** Longest wait in milliseconds, on a machine that has nothing else to do. */
  readonly deadlineMs: number;
  /** What is awaited, for the error sentence ("all 1,000 readings in the archive"). */
  readonly what: string;
  /** Pause between two questions; 50 ms when absent. */
  readonly everyMs?: number;
}

/** A crowded machine takes several times as long; what is awaited holds all the same. */
const PATIENCE = 3;

type Missing = undefined | null | false | 0 | '';

/**
 * Asks until the answer is truthy and returns it. A question may throw: it is asked again, and the last error is
 * named when the deadline passes.
 * @throws WeirError WEIR_TIMEOUT.
 */
export async function until<T>(
  condition: () => T | Missing | Promise<T | Missing>,
  { deadlineMs, what, everyMs = 50 }: UntilOptions,
): Promise<T> {
  const patienceMs = deadlineMs * PATIENCE;
  const end = performance.now() + patienceMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await condition();
      if (answer) return answer;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) {
      const why = failure === undefined ? '' : ` (${errorMessage(failure)})`;
      throw new WeirError('WEIR_TIMEOUT', 'fatal', `Not within ${patienceMs} ms: ${what}${why}`, failure);
    }
    await delay(everyMs);
  }
}
