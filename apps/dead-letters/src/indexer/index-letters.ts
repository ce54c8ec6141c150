import { randomUUID } from 'node:crypto';
import { countQueueLetters, type Transaction } from '@weir/connect-timescale';
import {
  type KeptLetter,
  keepLetters,
  knownLetters,
  type NewLetter,
  type Place,
  packDay,
  returnLetters,
} from '@weir/dead-letters';
import type { Parts } from '../parts.ts';
import type { IndexerEvents } from './events.ts';
import type { QueueMark } from './identities.ts';
import { persisting } from './persist.ts';
import type { Incoming } from './press.ts';

interface Named {
  readonly id: string;
  readonly letter: NewLetter;
  readonly mark: QueueMark | null;
}

/** An id for every letter of a batch, in their order. */
export type NameLetters = (batch: readonly Incoming[]) => Promise<readonly string[]>;

export interface IndexOptions extends Pick<Parts, 'database' | 'store' | 'bucket'> {
  readonly events: IndexerEvents;
  readonly name: NameLetters;
  /** Whether a letter that was found there came out of a queue. */
  readonly isQueue: (place: string) => boolean;
  /** Aborts when nobody waits for the batch any more. */
  readonly giveUp: AbortSignal;
}

const packKey = (): string => `${packDay(new Date())}${randomUUID()}.pack`;
/** After so long without rows a pack is stored anew: the sweep removes one that nothing names for a day. */
const PUT_AGAIN_MS = 3_600_000;

/**
 * Makes the step that takes letters into the index: their bytes as one object, then their rows in one transaction. A
 * crash in between leaves an object that no row names, and that the sweep removes. Servers that are away are waited for.
 */
export function indexLetters({ database, store, bucket, events, name, isQueue, giveUp }: IndexOptions) {
  const persist = persisting(events, giveUp);

  return async function indexLetters(batch: readonly Incoming[]): Promise<readonly string[]> {
    const began = performance.now();
    const ids = await persist('look-up', () => name(batch));
    const named = batch.map((incoming, index): Named => ({ id: ids[index] as string, ...incoming }));
    const known = await persist('look-up', () => knownLetters(database, ids));
    const fresh = new Map<string, Named>();
    const back: Named[] = [];
    for (const one of named) {
      const returned = known.get(one.id) ?? fresh.get(one.id)?.letter.replayCount;
      if (returned === undefined) fresh.set(one.id, one);
      else if (one.letter.replayCount > returned) back.push(one);
    }
    const { body, places } = pack([...fresh.values()]);
    let storedAt = Number.NEGATIVE_INFINITY;
    const put = async (): Promise<void> => {
      if (body.length === 0 || performance.now() - storedAt < PUT_AGAIN_MS) return;
      await persist('put', () => store.put(bucket, places.object, body));
      storedAt = performance.now();
    };
    await put();
    const kept = [...fresh.values()].map(
      ({ id, letter, mark }): KeptLetter => ({
        id,
        letter,
        place: places.of(id),
        unsettled: mark === null ? null : { queue: mark.queue, likeness: mark.likeness },
      }),
    );
    const write = async (transaction: Transaction): Promise<readonly string[]> => {
      const found = Map.groupBy(await keepLetters(transaction, kept), (place) => place);
      const queues = [...found].filter(([place]) => isQueue(place));
      await countQueueLetters(transaction, new Map(queues.map(([queue, all]) => [queue, all.length])));
      return returnLetters(transaction, back);
    };
    const returned =
      kept.length + back.length === 0
        ? []
        : await persist('index', async () => {
            await put();
            return database.transaction('indexing dead letters', write);
          });
    events.indexed({
      letters: [...fresh.values()].map(({ letter }) => letter),
      returned: returned.length,
      again: named.length - fresh.size - returned.length,
      bytes: body.length,
      seconds: (performance.now() - began) / 1_000,
    });
    return ids;
  };
}

/** The bytes of letters one behind the other. */
function pack(letters: readonly Named[]): {
  readonly body: Buffer;
  readonly places: { readonly object: string; of(id: string): Place | null };
} {
  const object = packKey();
  const found = new Map<string, Place>();
  let offset = 0;
  for (const { id, letter } of letters) {
    if (letter.length === 0) continue;
    found.set(id, { object, offset });
    offset += letter.length;
  }
  return {
    body: Buffer.concat(letters.map(({ letter }) => letter.bytes)),
    places: { object, of: (id) => found.get(id) ?? null },
  };
}
