import { type Runner, recordAudit, type Transaction } from '@weir/connect-timescale';
import { PACK_PREFIX, TABLES } from '@weir/topology';
import type { LetterStatus } from './letter.ts';

/** A letter's part of a pack. */
export interface PackPart {
  readonly id: string;
  readonly offset: number;
  readonly length: number;
  readonly status: LetterStatus;
}

/** Beginning of the names of packs of one day (UTC). A pack that is rewritten keeps its day. */
export const packDay = (at: Date): string => `${PACK_PREFIX}dt=${at.toISOString().slice(0, 10)}/`;

/** Packs that hold bytes of purged letters. */
export async function packsToClear(runner: Runner, limit: number): Promise<string[]> {
  const rows = await runner.query<{ object: string }>(
    'looking for bytes of purged dead letters',
    `SELECT DISTINCT object FROM ${TABLES.deadLetters} WHERE status = 'purged' AND object IS NOT NULL LIMIT $1`,
    [limit],
  );
  return rows.map(({ object }) => object);
}

/** Packs of the days before. */
export async function packsBefore(runner: Runner, day: Date, limit: number): Promise<string[]> {
  const rows = await runner.query<{ object: string }>(
    'looking for expired bytes of dead letters',
    `SELECT DISTINCT object FROM ${TABLES.deadLetters} WHERE object IS NOT NULL AND object < $1 LIMIT $2`,
    [packDay(day), limit],
  );
  return rows.map(({ object }) => object);
}

/** In the order of the bytes. */
export function partsOf(runner: Runner, object: string, lock = false): Promise<PackPart[]> {
  return runner.query<PackPart & Record<string, unknown>>(
    'reading what a pack holds',
    `SELECT id, object_offset::float8 AS offset, length, status FROM ${TABLES.deadLetters}
      WHERE object = $1 ORDER BY object_offset, id ${lock ? 'FOR UPDATE' : ''}`,
    [object],
  );
}

/** The bytes of these letters lie in another pack now. */
export async function movePack(
  transaction: Transaction,
  from: string,
  to: string,
  parts: readonly { readonly id: string; readonly offset: number }[],
): Promise<void> {
  await transaction.query(
    'moving the bytes of dead letters',
    `UPDATE ${TABLES.deadLetters} l SET object = $2, object_offset = moved.offset
       FROM unnest($3::text[], $4::bigint[]) AS moved (id, "offset") WHERE l.id = moved.id AND l.object = $1`,
    [from, to, parts.map(({ id }) => id), parts.map(({ offset }) => offset)],
  );
}

/** The pack is gone: what still names it has no bytes any more, and no edits of them. */
export async function forgetPack(transaction: Transaction, object: string): Promise<number> {
  await transaction.query(
    'removing edits of dead letters',
    `DELETE FROM ${TABLES.deadLetterEdits} e USING ${TABLES.deadLetters} l WHERE l.id = e.letter AND l.object = $1`,
    [object],
  );
  const rows = await transaction.query(
    'recording that bytes of dead letters are removed',
    `UPDATE ${TABLES.deadLetters} SET object = NULL, object_offset = 0, bytes_removed_at = now()
      WHERE object = $1 RETURNING id`,
    [object],
  );
  return rows.length;
}

/** Which of these packs no row names. */
export async function unnamedPacks(runner: Runner, objects: readonly string[]): Promise<string[]> {
  const rows = await runner.query<{ object: string }>(
    'looking for packs that no dead letter names',
    `SELECT o AS object FROM unnest($1::text[]) o
      WHERE NOT EXISTS (SELECT FROM ${TABLES.deadLetters} l WHERE l.object = o)`,
    [objects],
  );
  return rows.map(({ object }) => object);
}

const EXPIRED_ROWS = 5_000;

/**
 * Removes rows that are older than `before`, some thousand at a time, with a row in the audit trail that counts them.
 * Only rows without bytes: those go first. Answers how many were removed.
 */
export async function expireRows(
  transaction: Transaction,
  before: Date,
  actor: string,
  why: string,
): Promise<number> {
  const rows = await transaction.query<{ reason: string; status: string; letters: string }>(
    'removing expired dead letters',
    `WITH expired AS (
       DELETE FROM ${TABLES.deadLetters} WHERE id IN (
         SELECT id FROM ${TABLES.deadLetters}
          WHERE last_failed_at < $1 AND arrived_at < $1 AND object IS NULL LIMIT ${EXPIRED_ROWS} FOR UPDATE SKIP LOCKED)
       RETURNING reason, status)
     SELECT reason, status, count(*) AS letters FROM expired GROUP BY reason, status ORDER BY reason, status`,
    [before],
  );
  const letters = rows.reduce((sum, row) => sum + Number(row.letters), 0);
  if (letters === 0) return 0;
  const counts = rows.map((row) => ({ ...row, letters: Number(row.letters) }));
  await recordAudit(transaction, {
    actor,
    action: 'dead-letter.expire',
    subject: 'dead letters',
    why,
    before: { olderThan: before, counts },
    after: { letters },
  });
  return letters;
}

/** Answers of requests and unsettled messages that nobody can ask for or deliver any more. */
export async function tidyLetters(transaction: Transaction): Promise<void> {
  for (const table of [TABLES.idempotencyKeys, TABLES.deadLetterUnsettled])
    await transaction.query(
      'tidying what dead letters left behind',
      `DELETE FROM ${table} WHERE at < now() - interval '1 day'`,
    );
}

/** Open letters by where they came from and why. */
export interface Depth {
  readonly source: string;
  readonly reason: string;
  readonly letters: number;
  /** Age of the oldest first failure. */
  readonly oldestSeconds: number;
}

export async function readDepth(runner: Runner): Promise<Depth[]> {
  const rows = await runner.query<{ source: string; reason: string; letters: string; oldest: number }>(
    'counting open dead letters',
    `SELECT origin_system AS source, reason, count(*) AS letters,
            greatest(0, extract(epoch FROM now() - min(first_failed_at)))::float8 AS oldest
       FROM ${TABLES.deadLetters} WHERE status = 'open' GROUP BY origin_system, reason`,
  );
  return rows.map(({ source, reason, letters, oldest }) => ({
    source,
    reason,
    letters: Number(letters),
    oldestSeconds: oldest,
  }));
}
