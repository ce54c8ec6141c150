import { type Database, recordAudit, type Transaction } from '@weir/connect-timescale';
import { errorMessage, WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import { applyPatch, createPatch, type Operation } from 'rfc6902';
import type { BytesReader } from './bytes.ts';
import { type Change, type Changed, checkExpected, subjectOf } from './change.ts';
import { documentOf } from './document.ts';
import type { Letter } from './letter.ts';
import type { OriginReader } from './origin.ts';
import { countLetters, listLetters } from './select.ts';

export interface Refused {
  readonly why: string;
  readonly letters: number;
  /** Id of one. */
  readonly example: string;
}

/** RFC 6902. */
export type JsonPatch = readonly { readonly op: string; readonly path: string }[];

interface Edited {
  readonly letter: Letter;
  readonly bytes: Buffer;
  readonly difference: unknown;
}

/** Edits that are worked out and not kept yet. */
export interface Draft {
  readonly edits: readonly Edited[];
  readonly unchanged: number;
  readonly refused: readonly Refused[];
}

export interface DraftOptions {
  readonly bytes: BytesReader;
  readonly readOrigin: OriginReader;
}

/** Letters of one edit; each is read, parsed and checked while somebody waits. */
export const MAX_EDITS = 10_000;
const BATCH = 500;
const REASONS = 20;

/**
 * Applies a patch to each letter of a selection, in memory: to what its last edit made of it, else to the original. A
 * letter whose result is not valid is refused, with the reason; the others go on.
 * Throws a data error for a selection of more than 10,000 letters.
 */
export async function draftEdits(
  database: Database,
  change: Pick<Change, 'selection'>,
  patch: JsonPatch,
  { bytes, readOrigin }: DraftOptions,
): Promise<Draft> {
  const all = await countLetters(database, change.selection);
  if (all > MAX_EDITS)
    throw new WeirError(
      'WEIR_REJECTED',
      'data',
      `The selection has ${all} letters; at most ${MAX_EDITS} can be edited at a time: narrow it down.`,
    );
  const edits: Edited[] = [];
  const refused = new Map<string, { letters: number; example: string }>();
  let unchanged = 0;
  let after: bigint | undefined;
  for (;;) {
    const letters = await listLetters(database, change.selection, { order: 'oldest', after, limit: BATCH });
    const open = letters.filter(({ status }) => status === 'open' || status === 'parked');
    unchanged += letters.length - open.length;
    const found = await bytes.current(open);
    for (const letter of open) {
      try {
        edits.push(editOne(letter, found.get(letter.id), patch, readOrigin));
      } catch (error) {
        if (!(error instanceof WeirError) || error.retry !== 'data') throw error;
        const same = refused.get(error.message);
        if (same === undefined) refused.set(error.message, { letters: 1, example: letter.id });
        else same.letters++;
      }
    }
    after = letters.at(-1)?.seq;
    if (letters.length < BATCH) break;
  }
  const reasons = [...refused].map(([why, rest]) => ({ why, ...rest }));
  return {
    edits,
    unchanged,
    refused: reasons.sort((a, b) => b.letters - a.letters).slice(0, REASONS),
  };
}

function editOne(
  letter: Letter,
  bytes: Buffer | undefined,
  patch: JsonPatch,
  readOrigin: OriginReader,
): Edited {
  if (bytes === undefined) throw new WeirError('WEIR_STATE', 'data', 'its bytes were purged or have expired');
  const document = documentOf(letter, bytes, readOrigin);
  // Under a key of its own, so that a patch may replace the whole document.
  const holder = { document: structuredClone(document.value) };
  const operations = patch.map((operation) => rooted(operation));
  let failures: readonly (Error | null)[];
  try {
    failures = applyPatch(holder, operations);
  } catch (error) {
    throw new WeirError('WEIR_REJECTED', 'data', `the patch is not RFC 6902: ${errorMessage(error)}`);
  }
  for (const [index, failure] of failures.entries()) {
    if (failure !== null)
      throw new WeirError(
        'WEIR_REJECTED',
        'data',
        `operation ${index + 1} of the patch (${patch[index]?.op} ${patch[index]?.path}) does not fit: ${failure.name}`,
      );
  }
  const edited = document.write(holder.document);
  return { letter, bytes: edited, difference: createPatch(document.value, holder.document) };
}

/** The operation below the holder's key. */
function rooted(operation: JsonPatch[number]): Operation {
  const from = (operation as { from?: unknown }).from;
  return {
    ...operation,
    path: `/document${operation.path}`,
    ...(typeof from === 'string' ? { from: `/document${from}` } : {}),
  } as unknown as Operation;
}

/**
 * Keeps a draft: the original never changes. A letter that was edited, sent or purged since it was read is left as it is.
 * Throws a data error (`WEIR_REJECTED`) when `expect` is not met.
 */
export async function keepEdits(
  transaction: Transaction,
  { edits, unchanged }: Draft,
  patch: JsonPatch,
  { selection, actor, why, expect, dryRun }: Change,
): Promise<Changed> {
  checkExpected(edits.length, expect);
  if (dryRun === true || edits.length === 0) return { letters: edits.length, unchanged, audit: null };
  const ids = edits.map(({ letter }) => letter.id);
  const open = await transaction.query<{ id: string; number: number }>(
    'choosing dead letters',
    `SELECT l.id, (SELECT coalesce(max(e.number), 0) FROM ${TABLES.deadLetterEdits} e WHERE e.letter = l.id) AS number
       FROM ${TABLES.deadLetters} l WHERE l.id = ANY($1) AND l.status IN ('open', 'parked') ORDER BY l.seq FOR UPDATE`,
    [ids],
  );
  const numbers = new Map(open.map(({ id, number }) => [id, number + 1]));
  const kept = edits.filter(({ letter }) => numbers.has(letter.id));
  const audit = await recordAudit(transaction, {
    actor,
    action: 'dead-letter.edit',
    subject: subjectOf(selection),
    why,
    before: { selection },
    after: { letters: kept.length, patch, ...(kept.length === 1 ? { difference: kept[0]?.difference } : {}) },
  });
  const column = <T>(read: (edit: Edited) => T): T[] => kept.map(read);
  await transaction.query(
    'keeping edited dead letters',
    `INSERT INTO ${TABLES.deadLetterEdits} (letter, number, by, why, patch, difference, bytes)
     SELECT letter, number, $5, $6, $7::jsonb, difference::jsonb, bytes
       FROM unnest($1::text[], $2::int[], $3::text[], $4::bytea[]) AS e (letter, number, difference, bytes)`,
    [
      column(({ letter }) => letter.id),
      column(({ letter }) => numbers.get(letter.id)),
      column(({ difference }) => JSON.stringify(difference)),
      column(({ bytes }) => bytes),
      actor,
      why,
      JSON.stringify(patch),
    ],
  );
  await transaction.query(
    'recording what is done to dead letters',
    `INSERT INTO ${TABLES.deadLetterHistory} (letter, audit, detail)
     SELECT letter, $1, jsonb_build_object('edit', number, 'difference', difference::jsonb)
       FROM unnest($2::text[], $3::int[], $4::text[]) AS e (letter, number, difference)`,
    [
      audit,
      column(({ letter }) => letter.id),
      column(({ letter }) => numbers.get(letter.id)),
      column(({ difference }) => JSON.stringify(difference)),
    ],
  );
  return { letters: kept.length, unchanged: unchanged + edits.length - kept.length, audit };
}
