import { type Database, fenced, type Lease, type Transaction } from '@weir/connect-timescale';
import { isTransient, retrying, WeirError } from '@weir/flow';
import type { Health } from './destinations.ts';
import type { ReplayEvents } from './events.ts';
import type { prepareLetters } from './prepare-letters.ts';
import type { sendLetters } from './send-letters.ts';

/** What the steps of a replay share while this process holds the lease. */
export interface ReplayParts {
  readonly database: Database;
  readonly prepare: ReturnType<typeof prepareLetters>;
  readonly send: ReturnType<typeof sendLetters>;
  readonly look: (destination: string) => Promise<Health>;
  readonly events: ReplayEvents;
  /** Aborts when even the last bookkeeping has to be given up. */
  readonly giveUp: AbortSignal;
  /**
   * A transaction that counts only while this process holds the lease, tried again until it is through. Its work may
   * run twice, also when the first COMMIT did happen. Throws `WEIR_FENCED` when another process has taken over.
   */
  write<T>(doing: string, signal: AbortSignal, work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** Tries again while a server is away. */
  insist<T>(doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export const isFenced = (error: unknown): boolean =>
  error instanceof WeirError && error.code === 'WEIR_FENCED';

export function withLease(
  parts: Omit<ReplayParts, 'write' | 'insist' | 'giveUp'>,
  lease: Pick<Lease, 'job' | 'token'>,
  giveUp: AbortSignal,
): ReplayParts {
  const { database, events } = parts;
  const insist = <T>(doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    retrying(work, {
      signal,
      shouldRetry: (error) => isTransient(error) && !isFenced(error),
      onRetry: (error) => events.away(doing, error),
    });
  return {
    ...parts,
    giveUp,
    insist,
    write: (doing, signal, work) => insist(doing, signal, () => fenced(database, lease, doing, work)),
  };
}
