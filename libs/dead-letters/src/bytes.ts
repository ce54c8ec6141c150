import { createHash } from 'node:crypto';
import type { DeadLetterSelection } from '@weir/api';
import type { Store } from '@weir/connect-minio';
import type { Runner } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { deadLetterBucket, TABLES } from '@weir/topology';
import type { Letter } from './letter.ts';
import { listLetters } from './select.ts';

/** What of a letter is needed to read its bytes. */
export type Located = Pick<Letter, 'id' | 'place' | 'length' | 'sha256'>;

export interface BytesReader {
  /**
   * The original bytes of these letters by id, verified by their SHA-256. A letter whose bytes are purged or expired
   * is left out. Some hundred letters at a time: those that lie together are read together.
   * Throws `WeirError`: transient when the store or the database is away, data (`WEIR_STATE`) when bytes are damaged.
   */
  original(letters: readonly Located[]): Promise<ReadonlyMap<string, Buffer>>;
  /** Like `original`, but what the newest edit made of a letter, where there is one. */
  current(letters: readonly Located[]): Promise<ReadonlyMap<string, Buffer>>;
}

/** Ranges that lie closer than this in an object are read as one. */
const GAP = 64 << 10;
const MAX_RANGE = 8 << 20;

interface Range {
  readonly object: string;
  readonly from: number;
  to: number;
  readonly letters: Located[];
}

/** Neighbours in an object as one range each. */
function rangesOf(letters: readonly Located[]): Range[] {
  const located = letters
    .flatMap((letter) => (letter.place === null ? [] : [{ letter, place: letter.place }]))
    .sort((a, b) => a.place.object.localeCompare(b.place.object) || a.place.offset - b.place.offset);
  const ranges: Range[] = [];
  for (const { letter, place } of located) {
    const end = place.offset + letter.length;
    const last = ranges.at(-1);
    const joins =
      last !== undefined &&
      last.object === place.object &&
      place.offset - last.to <= GAP &&
      end - last.from <= MAX_RANGE;
    if (joins) {
      last.to = Math.max(last.to, end);
      last.letters.push(letter);
    } else ranges.push({ object: place.object, from: place.offset, to: end, letters: [letter] });
  }
  return ranges;
}

const isMissing = (error: unknown): boolean =>
  error instanceof WeirError && error.retry === 'data' && error.code === 'WEIR_STATE';

/** @param namespace as in `kafkaTopology` */
export function openBytes(runner: Runner, store: Store, namespace: string): BytesReader {
  const bucket = deadLetterBucket(namespace);

  const read = async (letters: readonly Located[], found: Map<string, Buffer>): Promise<Located[]> => {
    const moved: Located[] = [];
    for (const { object, from, to, letters: inside } of rangesOf(letters)) {
      let body: Buffer;
      try {
        body = await store.read(bucket, object, from, to - from);
      } catch (error) {
        if (!isMissing(error)) throw error;
        moved.push(...inside);
        continue;
      }
      for (const letter of inside) {
        const at = (letter.place?.offset ?? 0) - from;
        // Its own memory: a view would keep the whole range.
        const bytes = Buffer.from(body.subarray(at, at + letter.length));
        if (createHash('sha256').update(bytes).digest('hex') !== letter.sha256)
          throw new WeirError(
            'WEIR_STATE',
            'data',
            `reading dead letter ${letter.id}: its bytes in ${object} of bucket ${bucket} are damaged`,
          );
        found.set(letter.id, bytes);
      }
    }
    return moved;
  };

  const original = async (letters: readonly Located[]): Promise<Map<string, Buffer>> => {
    const found = new Map<string, Buffer>();
    for (const { id, length } of letters) if (length === 0) found.set(id, Buffer.alloc(0));
    const moved = await read(
      letters.filter(({ length }) => length > 0),
      found,
    );
    if (moved.length === 0) return found;
    // A purge of a neighbour has rewritten the pack meanwhile: the rows know where the bytes lie now.
    const selection: DeadLetterSelection = { ids: moved.map(({ id }) => id) };
    const again = await listLetters(runner, selection, { order: 'oldest', limit: moved.length });
    const lost = await read(again, found);
    const still = lost.find(({ place }) => place !== null);
    if (still !== undefined)
      throw new WeirError(
        'WEIR_STATE',
        'data',
        `reading dead letter ${still.id}: object ${still.place?.object} is not in bucket ${bucket}`,
      );
    return found;
  };

  return {
    original,
    async current(letters) {
      const edited = await runner.query<{ letter: string; bytes: Buffer }>(
        'reading edited dead letters',
        `SELECT DISTINCT ON (letter) letter, bytes FROM ${TABLES.deadLetterEdits}
          WHERE letter = ANY($1) ORDER BY letter, number DESC`,
        [letters.map(({ id }) => id)],
      );
      const newest = new Map(edited.map(({ letter, bytes }) => [letter, bytes]));
      const found = await original(letters.filter(({ id }) => !newest.has(id)));
      for (const [id, bytes] of newest) found.set(id, bytes);
      return found;
    },
  };
}
