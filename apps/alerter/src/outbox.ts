import { setTimeout as delay } from 'node:timers/promises';
import { fullJitter, isTransient, WeirError } from '@weir/flow';
import type { AlerterEvents } from './events.ts';

const BACKOFF = { baseMs: 200, maxMs: 10_000 };

/** Runs `publish` after each `notify`, and again with full jitter until nothing is left. */
export interface Outbox {
  notify(): void;
  /** One last try when something is left, then ends; what remains is published after the next start. */
  stop(): Promise<void>;
}

export function openOutbox(
  publish: () => Promise<number>,
  events: AlerterEvents,
  fatal: (error: unknown) => void,
): Outbox {
  const stopping = new AbortController();
  let dirty = false;
  let running: Promise<void> | undefined;

  const attemptOnce = async (): Promise<boolean> => {
    dirty = false;
    try {
      const refused = await publish();
      if (refused === 0) return true;
      events.publishFailed(
        new WeirError('WEIR_REJECTED', 'transient', `a queue on weir.alerts is full and refused ${refused}`),
      );
    } catch (error) {
      if (!isTransient(error)) fatal(error);
      events.publishFailed(error);
    }
    dirty = true;
    return false;
  };

  const run = async (): Promise<void> => {
    for (let attempt = 0; dirty && !stopping.signal.aborted; attempt++) {
      if (await attemptOnce()) {
        attempt = -1;
        continue;
      }
      await delay(fullJitter(attempt, BACKOFF), undefined, { signal: stopping.signal }).catch(() => {});
    }
    running = undefined;
  };

  return {
    notify: () => {
      dirty = true;
      if (!stopping.signal.aborted) running ??= run();
    },
    stop: async () => {
      stopping.abort();
      await running;
      if (dirty) await attemptOnce();
    },
  };
}
