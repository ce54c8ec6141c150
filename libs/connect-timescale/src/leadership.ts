import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isTransient, WeirError } from '@weir/flow';
import type { Database, Transaction } from './database.ts';
import { acquireLease, confirmLease, fenced, type Lease, type MaintenanceJob } from './maintenance.ts';

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
  /** Throws `WEIR_FENCED` when this process is not the active one any more: for what is done without writing. */
  confirm(doing: string): Promise<void>;
}

/** Another process has taken over: nothing that this one began can be written any more. */
export const isFenced = (error: unknown): boolean =>
  error instanceof WeirError && error.code === 'WEIR_FENCED';

/** What is told while standing and leading. */
export interface LeadershipEvents {
  /** Whether this process is the one that acts. */
  active(active: boolean): void;
  /** The database does not answer; tried again in `againMs`. */
  databaseAway(error: unknown, againMs: number): void;
}

export interface LeadershipOptions {
  readonly job: MaintenanceJob;
  readonly url: string;
  readonly database: Database;
  /** Shown in the table `maintenance`. */
  readonly holder: string;
  readonly events: LeadershipEvents;
  readonly stopping: AbortSignal;
  /** Acts until `ended` aborts and everything it began has ended. */
  readonly lead: (leadership: Leadership) => Promise<void>;
}

/**
 * Stands by until no other process holds the place, leads, and stands by again when another has taken it; until the
 * stop. The place is a lock in a session of its own: the server frees it at once when the process dies, and after 5 s
 * when it is silent. What a paused process still wants to write after that is refused by the token in `maintenance`.
 * While the database is away nobody can take over, and whoever leads goes on.
 */
export async function standForLeader(options: LeadershipOptions): Promise<void> {
  const { events, stopping } = options;
  while (!stopping.aborted) {
    const lease = await acquire(options, null);
    if (lease === 'taken') await pause(stopping);
    else if (lease !== null) {
      events.active(true);
      await leadWith(options, lease).finally(() => events.active(false));
    }
  }
}

const pause = (signal: AbortSignal): Promise<void> =>
  delay(TAKE_OVER_MS, undefined, { signal }).catch(() => undefined);

/** Null: the stop came first. */
async function acquire(
  { job, url, database, holder, events, stopping }: LeadershipOptions,
  resume: bigint | null,
): Promise<Lease | 'taken' | null> {
  while (!stopping.aborted) {
    try {
      const lease = await acquireLease(url, job, holder, { silenceMs: SILENCE_MS, resume });
      if (lease !== null) return lease;
      // A standby that could not write is none: /readyz goes by this connection.
      await database.query('standing by', 'SELECT 1');
      return 'taken';
    } catch (error) {
      if (!isTransient(error)) throw error;
      events.databaseAway(error, TAKE_OVER_MS);
      await pause(stopping);
    }
  }
  return null;
}

/** Leads until another has taken over, or the stop; a session that is lost is replaced. */
async function leadWith(options: LeadershipOptions, first: Lease): Promise<void> {
  const { database, stopping, lead } = options;
  const { job, token } = first;
  const ended = new AbortController();
  const onStop = (): void => ended.abort();
  stopping.addEventListener('abort', onStop, { once: true });
  let lease: Lease = first;
  const keep = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await once(AbortSignal.any([lease.lost, ended.signal]), 'abort');
      if (ended.signal.aborted) return;
      const again = await acquire(options, token);
      if (again === null || again === 'taken') return;
      lease = again;
      if (lease.token !== token) return;
    }
  };
  const kept = keep().finally(() => ended.abort());
  const endWhenFenced = (error: unknown): never => {
    if (isFenced(error)) ended.abort();
    throw error;
  };
  try {
    if (stopping.aborted) ended.abort();
    await lead({
      ended: ended.signal,
      transaction: (doing, work) => fenced(database, { job, token }, doing, work).catch(endWhenFenced),
      confirm: (doing) => confirmLease(database, { job, token }, doing).catch(endWhenFenced),
    });
  } catch (error) {
    if (!isFenced(error)) throw error;
  } finally {
    ended.abort();
    stopping.removeEventListener('abort', onStop);
    await kept;
    await lease.release();
  }
}
