import { setTimeout as delay } from 'node:timers/promises';
import { type Database, enterObjects, type ManifestEntry } from '@weir/connect-timescale';
import { retrying } from '@weir/flow';
import type { ArchiverEvents } from '../events.ts';

/** What waits for a database that is away; what comes on top is entered by whoever lists the archive. */
const MOST_WAITING = 10_000;
const LAST_MS = 1_000;

export interface Manifest {
  /** Enters an object soon. Never waits, never throws: the archive goes on without the database. */
  enter(entry: ManifestEntry): void;
  /** Enters what waits, for a second at most. */
  close(): Promise<void>;
}

/** The list of what the archive must hold, kept apart from it, so that a missing object is seen. */
export function openManifest(
  database: Database,
  bucket: string,
  events: Pick<ArchiverEvents, 'stepRetried'>,
): Manifest {
  const giveUp = new AbortController();
  let waiting: ManifestEntry[] = [];
  let working: Promise<void> | null = null;
  const work = async (): Promise<void> => {
    while (waiting.length > 0 && !giveUp.signal.aborted) {
      const entries = waiting;
      waiting = [];
      await retrying(() => enterObjects(database, bucket, entries), {
        signal: giveUp.signal,
        maxMs: 10_000,
        shouldRetry: () => true,
        onRetry: (error, attempt) => events.stepRetried('manifest', error, attempt),
      });
    }
  };
  return {
    enter(entry) {
      if (waiting.length < MOST_WAITING) waiting.push(entry);
      working ??= work()
        .catch(() => {}) // given up at the stop
        .finally(() => {
          working = null;
        });
    },
    async close() {
      await Promise.race([working, delay(LAST_MS, undefined, { ref: false })]);
      giveUp.abort();
      await working;
    },
  };
}
