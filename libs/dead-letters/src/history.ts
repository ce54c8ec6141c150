import type { Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

/** An edit of a letter. */
export interface LetterEdit {
  /** From 1; the highest is what a replay sends. */
  readonly number: number;
  readonly at: Date;
  readonly by: string;
  readonly why: string;
  readonly patch: unknown;
  readonly difference: unknown;
  readonly bytes: Buffer;
}

/** What was done to a letter. */
export interface LetterEvent {
  /** Row of the audit trail. */
  readonly audit: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly why: string;
  readonly detail: unknown;
}

/** By number. */
export function readEdits(runner: Runner, letter: string): Promise<LetterEdit[]> {
  return runner.query<LetterEdit & Record<string, unknown>>(
    'reading the edits of a dead letter',
    `SELECT number, at, by, why, patch, difference, bytes FROM ${TABLES.deadLetterEdits}
      WHERE letter = $1 ORDER BY number`,
    [letter],
  );
}

/** The newest first, at most 200; also of a letter that is no longer in the index. */
export function readHistory(runner: Runner, letter: string): Promise<LetterEvent[]> {
  return runner.query<LetterEvent & Record<string, unknown>>(
    'reading the history of a dead letter',
    `SELECT h.audit::text, a.at, a.actor, a.action, a.why, h.detail
       FROM ${TABLES.deadLetterHistory} h JOIN ${TABLES.auditTrail} a ON a.id = h.audit
      WHERE h.letter = $1 ORDER BY h.audit DESC LIMIT 200`,
    [letter],
  );
}

/** Letters of each row of the audit trail: at most `limit` ids, and how many there are. */
export async function lettersOfAudits(
  runner: Runner,
  audits: readonly string[],
  limit: number,
): Promise<ReadonlyMap<string, { readonly ids: readonly string[]; readonly count: number }>> {
  const rows = await runner.query<{ audit: string; ids: string[] | null; count: string }>(
    'reading whom a change was about',
    `SELECT a AS audit,
            (SELECT array_agg(letter) FROM (SELECT letter FROM ${TABLES.deadLetterHistory} h
              WHERE h.audit = a::bigint ORDER BY letter LIMIT $2) first) AS ids,
            (SELECT count(*) FROM ${TABLES.deadLetterHistory} h WHERE h.audit = a::bigint) AS count
       FROM unnest($1::text[]) a`,
    [audits, limit],
  );
  return new Map(rows.map(({ audit, ids, count }) => [audit, { ids: ids ?? [], count: Number(count) }]));
}
