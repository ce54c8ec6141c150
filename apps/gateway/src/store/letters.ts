import { isUtf8 } from 'node:buffer';
import type {
  DeadLetter,
  DeadLetterAudit,
  DeadLetterChanged,
  DeadLetterDetail,
  DeadLetterFacets,
  DeadLetterSelection,
} from '@weir/api';
import { openStore, type StoreOptions } from '@weir/connect-minio';
import { type Database, type KeyedAnswer, once, openDatabase, readAudit } from '@weir/connect-timescale';
import {
  type Change,
  type Changed,
  draftEdits,
  findLetter,
  type JsonPatch,
  keepEdits,
  type Letter,
  lettersOfAudits,
  listLetters,
  type Move,
  moveLetters,
  openBytes,
  originReader,
  type Refused,
  readEdits,
  readFacets,
  readHistory,
} from '@weir/dead-letters';
import { errorMessage, isTransient } from '@weir/flow';
import type { Logger } from '@weir/observe';
import { ApiProblem } from '../http/problems.ts';

export interface LetterStoreOptions {
  readonly namespace: string;
  readonly timescale: { readonly url: string };
  readonly minio: StoreOptions;
  readonly edge: { readonly topics: Parameters<typeof originReader>[0] };
}

/** A change as the API asks for it. */
export interface ChangeRequest extends Change {
  /** The caller's Idempotency-Key. */
  readonly key: string | null;
}

/** Dead letters as the API shows and changes them. */
export interface LetterStore {
  list(selection: DeadLetterSelection, after: bigint | undefined, limit: number): Promise<DeadLetter[]>;
  facets(selection: DeadLetterSelection): Promise<DeadLetterFacets>;
  find(id: string): Promise<DeadLetterDetail | null>;
  /** `letter`: there is none; `bytes`: they were purged or have expired. */
  bytes(
    id: string,
    edited: boolean,
  ): Promise<{ readonly bytes: Buffer } | { readonly gone: 'letter' | 'bytes' }>;
  move(move: Move, request: ChangeRequest): Promise<KeyedAnswer<DeadLetterChanged>>;
  edit(patch: JsonPatch, request: ChangeRequest): Promise<KeyedAnswer<DeadLetterChanged>>;
  audit(before: string | undefined, limit: number): Promise<DeadLetterAudit['entries']>;
  close(): Promise<void>;
}

/** Bytes of a letter that stand in an answer. */
const SHOWN_BYTES = 64 << 10;
const SHOWN_IDS = 1_000;
/** A change of 100,000 letters takes some seconds: longer than any question may. */
const CHANGE_MS = 60_000;

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;
const orNull = (name: string): string | null => (name === '' ? null : name);
const textOf = (bytes: Buffer): string | null => (isUtf8(bytes) ? bytes.toString('utf8') : null);

function shown(bytes: Buffer): NonNullable<DeadLetterDetail['original']> {
  const head = bytes.subarray(0, SHOWN_BYTES);
  const whole = head.length === bytes.length;
  return {
    base64: head.toString('base64'),
    // A cut may go through a character.
    text: isUtf8(bytes) ? head.toString('utf8').replace(whole ? '' : /\uFFFD+$/, '') : null,
    truncated: !whole,
  };
}

function show(letter: Letter): DeadLetter {
  return {
    id: letter.id,
    seq: String(letter.seq),
    reason: letter.reason,
    stage: letter.stage,
    site: orNull(letter.site),
    device: orNull(letter.device),
    fingerprint: letter.fingerprint,
    errorClass: letter.errorClass,
    errorMessage: letter.errorMessage,
    originSystem: letter.originSystem,
    origin: letter.origin,
    foundIn: letter.foundIn,
    firstFailedAt: letter.firstFailedAt.toISOString(),
    lastFailedAt: letter.lastFailedAt.toISOString(),
    originalAt: letter.originalAt.toISOString(),
    arrivedAt: letter.arrivedAt.toISOString(),
    retryable: letter.retryable,
    readings: letter.readings === null ? null : [...letter.readings],
    replayCount: letter.replayCount,
    status: letter.status,
    statusAt: iso(letter.statusAt),
    statusBy: letter.statusBy,
    statusWhy: letter.statusWhy,
    bytes: letter.length,
    sha256: letter.sha256,
    content: letter.content,
    bytesRemovedAt: iso(letter.bytesRemovedAt),
  };
}

/** Says which server is away: rows come from the database, bytes from the object store. */
async function stored<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!isTransient(error)) throw error;
    throw new ApiProblem('database-away', `The bytes cannot be read now: ${errorMessage(error)}`, {
      retryAfterSeconds: 2,
      cause: error,
    });
  }
}

const showChange = (
  action: DeadLetterChanged['action'],
  { dryRun = false }: Change,
  { letters, unchanged, audit }: Changed,
  refused: readonly Refused[] = [],
): DeadLetterChanged => ({ action, dryRun, letters, unchanged, refused: [...refused], audit });

/** @param database for questions; changes have connections of their own, because they take longer */
export function letterStore(database: Database, options: LetterStoreOptions, log: Logger): LetterStore {
  const changes = openDatabase({
    url: options.timescale.url,
    poolSize: 2,
    statementTimeoutMs: CHANGE_MS,
    name: 'weir gateway, dead letters',
    log,
  });
  const store = openStore(options.minio);
  const bytes = openBytes(database, store, options.namespace);
  const readOrigin = originReader(options.edge.topics);

  return {
    async list(selection, after, limit) {
      return (await listLetters(database, selection, { order: 'newest', after, limit })).map(show);
    },
    async facets(selection) {
      const { oldestAt, newestAt, groups, ...counts } = await readFacets(database, selection);
      return {
        ...(counts as Omit<DeadLetterFacets, 'oldestAt' | 'newestAt' | 'groups'>),
        oldestAt: iso(oldestAt),
        newestAt: iso(newestAt),
        groups: groups.map(({ firstAt, lastAt, ...group }) => ({
          ...group,
          firstAt: firstAt.toISOString(),
          lastAt: lastAt.toISOString(),
        })),
      };
    },
    async find(id) {
      const letter = await findLetter(database, id);
      if (letter === null) return null;
      const [found, edits, history] = await Promise.all([
        stored(bytes.original([letter])),
        readEdits(database, id),
        readHistory(database, id),
      ]);
      const original = found.get(id);
      return {
        ...show(letter),
        key: letter.key && { text: textOf(letter.key), base64: letter.key.toString('base64') },
        headers: { ...letter.headers },
        properties: { ...letter.properties },
        original: original === undefined ? null : shown(original),
        edits: edits.map(({ at, bytes: edited, ...edit }) => ({
          ...edit,
          at: at.toISOString(),
          bytes: shown(edited),
        })),
        history: history.map(({ at, ...event }) => ({ ...event, at: at.toISOString() })),
      };
    },
    async bytes(id, edited) {
      const letter = await findLetter(database, id);
      if (letter === null) return { gone: 'letter' };
      const found = await stored(edited ? bytes.current([letter]) : bytes.original([letter]));
      const body = found.get(id);
      return body === undefined ? { gone: 'bytes' } : { bytes: body };
    },
    move(move, { key, ...change }) {
      const request = { scope: `dead-letters/${move}`, key, request: change };
      return once(changes, `changing dead letters (${move})`, request, async (transaction) =>
        showChange(move, change, await moveLetters(transaction, move, change)),
      );
    },
    edit(patch, { key, ...change }) {
      const request = { scope: 'dead-letters/edit', key, request: { ...change, patch } };
      return once(changes, 'editing dead letters', request, async (transaction) => {
        const draft = await draftEdits(database, change, patch, { bytes, readOrigin });
        return showChange('edit', change, await keepEdits(transaction, draft, patch, change), draft.refused);
      });
    },
    async audit(before, limit) {
      const rows = await readAudit(database, { action: 'dead-letter.*', before, limit });
      const about = await lettersOfAudits(
        database,
        rows.map(({ id }) => id),
        SHOWN_IDS,
      );
      return rows.map(({ at, ...row }) => {
        const { ids, count } = about.get(row.id) ?? { ids: [], count: 0 };
        return { ...row, at: at.toISOString(), letters: [...ids], more: count - ids.length };
      });
    },
    async close() {
      store.close();
      await changes.close();
    },
  };
}
