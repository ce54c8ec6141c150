import type { Runner, Transaction } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import type { NewLetter } from './arrival.ts';
import type { Place } from './letter.ts';

/** A letter whose bytes are stored. */
export interface KeptLetter {
  readonly id: string;
  readonly letter: NewLetter;
  /** Null for a letter without bytes. */
  readonly place: Place | null;
  /** For a message of RabbitMQ without an id of its own; see `claimUnsettled`. */
  readonly unsettled: { readonly queue: string; readonly likeness: string } | null;
}

/** What the index knows of these letters: the replay count with which each one came back last. */
export async function knownLetters(runner: Runner, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await runner.query<{ id: string; returned: number }>(
    'looking up dead letters',
    `SELECT id, returned_count AS returned FROM ${TABLES.deadLetters} WHERE id = ANY($1)`,
    [ids],
  );
  return new Map(rows.map(({ id, returned }) => [id, returned]));
}

const json = (value: unknown): string => JSON.stringify(value);

/** Adds rows; letters that are there already stay as they are. Answers where each new one was found. */
export async function keepLetters(
  transaction: Transaction,
  letters: readonly KeptLetter[],
): Promise<readonly string[]> {
  if (letters.length === 0) return [];
  const column = <T>(read: (letter: KeptLetter) => T): T[] => letters.map(read);
  const rows = await transaction.query<{ found_in: string }>(
    'indexing dead letters',
    `INSERT INTO ${TABLES.deadLetters} (id, reason, stage, site, device, fingerprint, error_class, error_message,
       origin_system, origin, found_in, first_failed_at, last_failed_at, original_ts, retryable, readings,
       replay_count, returned_count, key, headers, properties, object, object_offset, length, sha256, content)
     SELECT id, reason, stage, site, device, fingerprint, error_class, error_message, origin_system, origin, found_in,
       to_timestamp(first_failed / 1000), to_timestamp(last_failed / 1000), to_timestamp(original / 1000), retryable,
       readings::int[], replays, replays, key, headers::jsonb, properties::jsonb, object, object_offset, length,
       decode(sha256, 'hex'), content
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
         $9::text[], $10::text[], $11::text[], $12::float8[], $13::float8[], $14::float8[], $15::boolean[], $16::text[],
         $17::int[], $18::bytea[], $19::text[], $20::text[], $21::text[], $22::bigint[], $23::int[], $24::text[],
         $25::text[]) WITH ORDINALITY
         AS new (id, reason, stage, site, device, fingerprint, error_class, error_message, origin_system, origin,
           found_in, first_failed, last_failed, original, retryable, readings, replays, key, headers, properties,
           object, object_offset, length, sha256, content, number)
      ORDER BY number
     ON CONFLICT (id) DO NOTHING RETURNING found_in`,
    [
      column(({ id }) => id),
      column(({ letter }) => letter.reason),
      column(({ letter }) => letter.stage),
      column(({ letter }) => letter.site),
      column(({ letter }) => letter.device),
      column(({ letter }) => letter.fingerprint),
      column(({ letter }) => letter.errorClass),
      column(({ letter }) => letter.errorMessage),
      column(({ letter }) => letter.originSystem),
      column(({ letter }) => letter.origin),
      column(({ letter }) => letter.foundIn),
      column(({ letter }) => letter.firstFailedAt.getTime()),
      column(({ letter }) => letter.lastFailedAt.getTime()),
      column(({ letter }) => letter.originalAt.getTime()),
      column(({ letter }) => letter.retryable),
      // PostgreSQL has no arrays of arrays of different lengths.
      column(({ letter }) => (letter.readings === null ? null : `{${letter.readings.join(',')}}`)),
      column(({ letter }) => letter.replayCount),
      column(({ letter }) => letter.key),
      column(({ letter }) => json(letter.headers)),
      column(({ letter }) => json(letter.properties)),
      column(({ place }) => place?.object ?? null),
      column(({ place }) => place?.offset ?? 0),
      column(({ letter }) => letter.length),
      column(({ letter }) => letter.sha256),
      column(({ letter }) => letter.content),
    ],
  );
  const open = letters.flatMap(({ id, unsettled }) => (unsettled === null ? [] : { id, ...unsettled }));
  if (open.length > 0)
    await transaction.query(
      'remembering unsettled dead letters',
      `INSERT INTO ${TABLES.deadLetterUnsettled} (id, queue, likeness)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING`,
      [open.map(({ id }) => id), open.map(({ queue }) => queue), open.map(({ likeness }) => likeness)],
    );
  return rows.map(({ found_in }) => found_in);
}

/**
 * Letters that were sent again and came back: open once more, unless they were parked or purged meanwhile. What came
 * back is told apart from what merely arrived twice by its replay count. Answers the ids.
 */
export async function returnLetters(
  transaction: Transaction,
  letters: readonly { readonly id: string; readonly letter: NewLetter }[],
): Promise<readonly string[]> {
  if (letters.length === 0) return [];
  const rows = await transaction.query<{ id: string }>(
    'opening dead letters that came back',
    `UPDATE ${TABLES.deadLetters} l
        SET returned_count = came.replays, replay_count = greatest(l.replay_count, came.replays),
            status = CASE WHEN l.status = 'replayed' THEN 'open' ELSE l.status END,
            status_at = CASE WHEN l.status = 'replayed' THEN now() ELSE l.status_at END,
            status_by = CASE WHEN l.status = 'replayed' THEN 'weir dead-letters' ELSE l.status_by END,
            status_why = CASE WHEN l.status = 'replayed' THEN 'it came back' ELSE l.status_why END,
            last_failed_at = to_timestamp(came.failed / 1000), stage = came.stage,
            error_class = came.error_class, error_message = came.error_message, fingerprint = came.fingerprint
       FROM unnest($1::text[], $2::int[], $3::float8[], $4::text[], $5::text[], $6::text[], $7::text[])
         AS came (id, replays, failed, stage, error_class, error_message, fingerprint)
      WHERE l.id = came.id AND l.returned_count < came.replays RETURNING l.id`,
    [
      letters.map(({ id }) => id),
      letters.map(({ letter }) => letter.replayCount),
      letters.map(({ letter }) => letter.lastFailedAt.getTime()),
      letters.map(({ letter }) => letter.stage),
      letters.map(({ letter }) => letter.errorClass),
      letters.map(({ letter }) => letter.errorMessage),
      letters.map(({ letter }) => letter.fingerprint),
    ],
  );
  return rows.map(({ id }) => id);
}

/**
 * Rows of this queue whose acknowledgement may not have arrived, by likeness: one of them for each delivery that comes
 * again. A row that `taken` says is spoken for is left out.
 */
export async function claimUnsettled(
  runner: Runner,
  queue: string,
  likenesses: readonly string[],
  taken: (id: string) => boolean,
): Promise<Map<string, string[]>> {
  const rows = await runner.query<{ id: string; likeness: string }>(
    'looking up unsettled dead letters',
    `SELECT id, likeness FROM ${TABLES.deadLetterUnsettled} WHERE queue = $1 AND likeness = ANY($2) ORDER BY at, id`,
    [queue, likenesses],
  );
  const found = new Map<string, string[]>();
  for (const { id, likeness } of rows) {
    if (taken(id)) continue;
    const ids = found.get(likeness);
    if (ids === undefined) found.set(likeness, [id]);
    else ids.push(id);
  }
  return found;
}

/** Their acknowledgements have arrived: these messages cannot come again. */
export async function forgetUnsettled(runner: Runner, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await runner.query(
    'forgetting settled dead letters',
    `DELETE FROM ${TABLES.deadLetterUnsettled} WHERE id = ANY($1)`,
    [ids],
  );
}
