import { setTimeout as delay } from 'node:timers/promises';
import { acquireLease, type Database, fenced, type Lease, type Transaction } from '@weir/connect-timescale';
import { isTransient } from '@weir/flow';
import type { AlerterEvents } from './events.ts';

/** An active process that falls silent for this long loses its place. */
const SILENCE_MS = 5_000;
/** A standby looks this often whether the place is free. */
const TAKE_OVER_MS = 500;

/** The time for which this process is the active one. */
export interface Leadership {
  /** Aborts when the place is lost, or the process stops. */
  readonly ended: AbortSignal;
  /** A transaction that commits only while this process is the active one; else throws `WEIR_FENCED`. */
  transaction<T>(doing: string, work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export interface LeadershipOptions {
  readonly url: string;
  readonly database: Database;
  /** Shown in the table `maintenance`. */
  readonly holder: string;
  readonly events: AlerterEvents;
  readonly stopping: AbortSignal;
  /** Acts until `ended` aborts and everything it began has ended. */
  readonly lead: (leadership: Leadership) => Promise<void>;
}

/**
 * Stands by until no other alerter holds the place, leads, and stands by again when it is lost; until the stop. The
 * place is a lock in a session of its own: the server frees it at once when the process dies, and after 5 s when it
 * is silent. What a paused process still wants to write after that is refused by the token in `maintenance`.
 */
export async function standForLeader(options: LeadershipOptions): Promise<void> {
  const { url, database, holder, events, stopping, lead } = options;
  const pause = (): Promise<void> =>
    delay(TAKE_OVER_MS, undefined, { signal: stopping }).catch(() => undefined);
  while (!stopping.aborted) {
    let lease: Lease | null = null;
    try {
      lease = await acquireLease(url, 'alerter', holder, SILENCE_MS);
    } catch (error) {
      if (!isTransient(error)) throw error;
      events.databaseAway(error, TAKE_OVER_MS);
    }
    if (lease === null) {
      await pause();
      continue;
    }
    const held = lease;
    try {
      events.active(true);
      await lead({
        ended: AbortSignal.any([held.lost, stopping]),
        transaction: (doing, work) => fenced(database, held, doing, work),
      });
    } finally {
      events.active(false);
      await held.release();
    }
  }
}
