import { setTimeout as delay } from 'node:timers/promises';

/** Runs `work` again and again, at least `ms` from begin to begin, until `signal` aborts; rejects as it does. */
export async function every(
  ms: number,
  signal: AbortSignal,
  work: () => void | Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now();
    await work();
    const rest = Math.max(0, ms - (performance.now() - began));
    await delay(rest, undefined, { signal }).catch(() => undefined); // the stop cuts it short
  }
}
