import { type LetterPlace, openLetters, passLetters } from '@weir/ledger';
import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** A place of the index in the dead-letter topic, with its partition. */
export interface LetterPartition extends LetterPlace {
  readonly partition: number;
}

/** How far the index has read the partitions of a topic. */
export async function readLetterPlaces(runner: Runner, topic: string): Promise<readonly LetterPartition[]> {
  const rows = await runner.query<{ partition: number; next: string; taken: string; missing: string }>(
    'reading how far the dead letters are counted',
    `SELECT partition, next_offset AS next, taken, missing FROM ${TABLES.ledgerLetters}
      WHERE origin = $1 AND next_offset IS NOT NULL ORDER BY partition`,
    [topic],
  );
  return rows.map(({ partition, next, taken, missing }) => ({
    ...{ partition, next: BigInt(next), taken: Number(taken), missing: Number(missing) },
  }));
}

/** Letters in the index that came out of each queue, since they are counted. */
export async function readQueueLetters(
  runner: Runner,
  queues: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await runner.query<{ origin: string; taken: string }>(
    'reading how many dead letters came out of queues',
    `SELECT origin, taken FROM ${TABLES.ledgerLetters} WHERE origin = ANY($1)`,
    [queues],
  );
  return new Map(rows.map(({ origin, taken }) => [origin, Number(taken)]));
}

/** The place of a partition that was just assigned. Throws `WeirError` (transient) when the database is away. */
export async function openLetterPlace(
  runner: Runner,
  topic: string,
  partition: number,
  log: Parameters<typeof openLetters>[1],
): Promise<LetterPlace> {
  const known = (await readLetterPlaces(runner, topic)).find((one) => one.partition === partition) ?? null;
  const place = openLetters(known, log);
  if (known !== null && known.next === place.next) return place;
  await runner.query(
    'writing where the dead letters are counted from',
    `INSERT INTO ${TABLES.ledgerLetters} AS l (origin, partition, taken, next_offset, missing)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (origin, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
       WHERE l.next_offset > EXCLUDED.next_offset`,
    [topic, partition, place.taken, String(place.next), place.missing],
  );
  return place;
}

/** Moves a place on; see `passLetters`. Another owner that was faster is gone on from. */
export async function moveLetterPlace(
  runner: Runner,
  topic: string,
  partition: number,
  known: LetterPlace,
  passed: Parameters<typeof passLetters>[1],
): Promise<LetterPlace> {
  for (let from = known; ; ) {
    const place = passLetters(from, passed);
    if (place === from) return from;
    const rows = await runner.query(
      'counting dead letters',
      `UPDATE ${TABLES.ledgerLetters} SET next_offset = $4, taken = $5, missing = $6
        WHERE origin = $1 AND partition = $2 AND next_offset = $3 RETURNING 1`,
      [topic, partition, String(from.next), String(place.next), place.taken, place.missing],
    );
    if (rows.length > 0) return place;
    const other = (await readLetterPlaces(runner, topic)).find((one) => one.partition === partition);
    // removed by a hand: counting begins anew
    if (other === undefined)
      return openLetterPlace(runner, topic, partition, { committed: passed.next, end: passed.next });
    from = other;
  }
}

/** Counts letters that came out of queues, in the transaction of their rows. */
export async function countQueueLetters(runner: Runner, letters: ReadonlyMap<string, number>): Promise<void> {
  if (letters.size === 0) return;
  // in one order, so that two of these never wait for each other
  const queues = [...letters].sort(([a], [b]) => (a < b ? -1 : 1));
  await runner.query(
    'counting dead letters of queues',
    `INSERT INTO ${TABLES.ledgerLetters} AS l (origin, partition, taken, missing)
     SELECT origin, 0, taken, 0 FROM unnest($1::text[], $2::bigint[]) AS n (origin, taken)
     ON CONFLICT (origin, partition) DO UPDATE SET taken = l.taken + EXCLUDED.taken`,
    [queues.map(([queue]) => queue), queues.map(([, count]) => count)],
  );
}
