import { createHash } from 'node:crypto';
import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import type { Database, Transaction } from './database.ts';

/** A request that must be done once, however often it is asked. */
export interface KeyedRequest {
  /** What is asked, for example `dead-letters/purge`: keys of different scopes do not meet. */
  readonly scope: string;
  /** The client's Idempotency-Key; null: it sent none, so this is done now. */
  readonly key: string | null;
  /** All that the request says, as JSON; the same key with another one is refused. */
  readonly request: unknown;
}

export interface KeyedAnswer<T> {
  readonly answer: T;
  /** It was answered before; nothing was done now. */
  readonly again: boolean;
}

/**
 * Does `work` and keeps its answer (JSON) under the key, in one transaction: after a crash either both are there or
 * neither. A second request with the key waits for the first and gets its answer.
 * Throws a data error (`WEIR_REJECTED`) when the key was used for another request.
 */
export function once<T>(
  database: Database,
  doing: string,
  { scope, key, request }: KeyedRequest,
  work: (transaction: Transaction) => Promise<T>,
): Promise<KeyedAnswer<T>> {
  return database.transaction(doing, async (transaction) => {
    if (key === null) return { answer: await work(transaction), again: false };
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64url');
    const [mine] = await transaction.query(
      'looking up the Idempotency-Key',
      `INSERT INTO ${TABLES.idempotencyKeys} (scope, key, fingerprint) VALUES ($1, $2, $3)
       ON CONFLICT DO NOTHING RETURNING key`,
      [scope, key, fingerprint],
    );
    if (mine === undefined) {
      const [known] = await transaction.query<{ fingerprint: string; answer: T }>(
        'reading the answer of the Idempotency-Key',
        `SELECT fingerprint, answer FROM ${TABLES.idempotencyKeys} WHERE scope = $1 AND key = $2`,
        [scope, key],
      );
      if (known?.fingerprint !== fingerprint)
        throw new WeirError(
          'WEIR_REJECTED',
          'data',
          `${doing}: this Idempotency-Key was used for another request; use a new one for a new request`,
        );
      return { answer: known.answer, again: true };
    }
    const answer = await work(transaction);
    await transaction.query(
      'keeping the answer of the Idempotency-Key',
      `UPDATE ${TABLES.idempotencyKeys} SET answer = $3 WHERE scope = $1 AND key = $2`,
      [scope, key, JSON.stringify(answer)],
    );
    return { answer, again: false };
  });
}
