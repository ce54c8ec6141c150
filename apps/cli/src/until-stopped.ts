import { setTimeout as delay } from 'node:timers/promises';

/** Does `work` again and again until Ctrl-C or SIGTERM; it says how many milliseconds to wait each time. */
export async function untilStopped(work: () => Promise<number>): Promise<void> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  while (!stop.signal.aborted) {
    const waitMs = await work();
    await delay(waitMs, undefined, { signal: stop.signal }).catch(() => undefined); // the stop cuts it short
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end);
}
