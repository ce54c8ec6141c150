import type { DeadLetterSelection } from '@weir/api';
import { recordAudit, type Transaction } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import type { LetterStatus } from './letter.ts';
import { parameters, whereOf } from './select.ts';

/** Who changes letters, which ones and why. */
export interface Change {
  readonly selection: DeadLetterSelection;
  readonly actor: string;
  readonly why: string;
  /** Only say what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Refuse unless exactly so many would be changed. */
  readonly expect?: number | undefined;
}

export interface Changed {
  readonly letters: number;
  /** Of the selection, but in a status in which this makes no sense. */
  readonly unchanged: number;
  /** Row of the audit trail; null when nothing was changed. */
  readonly audit: string | null;
}

/** From which status to which. */
const MOVES = {
  park: { from: ['open', 'replayed'], to: 'parked' },
  unpark: { from: ['parked'], to: 'open' },
  purge: { from: ['open', 'parked', 'replayed'], to: 'purged' },
} as const satisfies Record<string, { from: readonly LetterStatus[]; to: LetterStatus }>;
export type Move = keyof typeof MOVES;

/** Throws a data error unless `letters` is what was expected. */
export function checkExpected(letters: number, expect: number | undefined): void {
  if (expect !== undefined && expect !== letters)
    throw new WeirError(
      'WEIR_REJECTED',
      'data',
      `${letters} letters would be changed, not ${expect}: look at the selection again`,
    );
}

/**
 * Gives the letters of a selection another status, with a row in the audit trail and one in the history of each. The
 * bytes of purged ones are removed by the sweep of the dead-letters app.
 * Throws a data error (`WEIR_REJECTED`) when `expect` is not met.
 */
export async function moveLetters(transaction: Transaction, move: Move, change: Change): Promise<Changed> {
  const { from, to } = MOVES[move];
  const { selection, actor, why, dryRun, expect } = change;
  const { values, parameter } = parameters();
  const where = whereOf(selection, parameter);
  await transaction.query(
    'choosing dead letters',
    'CREATE TEMP TABLE chosen_letters (id text, status text) ON COMMIT DROP',
  );
  // Locked in one order, so that two changes of the same letters do not wait for each other.
  await transaction.query(
    'choosing dead letters',
    `INSERT INTO chosen_letters
     SELECT l.id, l.status FROM ${TABLES.deadLetters} l WHERE ${where} ORDER BY l.seq FOR UPDATE`,
    values,
  );
  const [count] = await transaction.query<{ all: string; fit: string }>(
    'counting dead letters',
    `SELECT count(*) AS all, count(*) FILTER (WHERE status = ANY($1)) AS fit FROM chosen_letters`,
    [from],
  );
  const letters = Number(count?.fit ?? 0);
  const unchanged = Number(count?.all ?? 0) - letters;
  checkExpected(letters, expect);
  if (dryRun === true || letters === 0) return { letters, unchanged, audit: null };
  const audit = await recordAudit(transaction, {
    actor,
    action: `dead-letter.${move}`,
    subject: subjectOf(selection),
    why,
    before: { selection, status: from },
    after: { status: to, letters },
  });
  await transaction.query(
    'recording what is done to dead letters',
    `INSERT INTO ${TABLES.deadLetterHistory} (letter, audit, detail)
     SELECT id, $1, jsonb_build_object('from', status, 'to', $2::text) FROM chosen_letters WHERE status = ANY($3)`,
    [audit, to, from],
  );
  await transaction.query(
    'changing dead letters',
    `UPDATE ${TABLES.deadLetters} l SET status = $1, status_at = now(), status_by = $2, status_why = $3
       FROM chosen_letters c WHERE c.id = l.id AND c.status = ANY($4)`,
    [to, actor, why, from],
  );
  return { letters, unchanged, audit };
}

/** What the audit trail names: the letter, when it is one. */
export function subjectOf({ ids }: DeadLetterSelection): string {
  return ids?.length === 1 ? (ids[0] as string) : 'dead letters';
}
