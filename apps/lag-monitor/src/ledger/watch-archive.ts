import { type ListedObject, parseArchiveKey, type Store } from '@weir/connect-minio';
import {
  type Database,
  enterObjects,
  forgetObjects,
  hoursStoredSince,
  type ManifestEntry,
  markObjects,
  oldestKey,
  readManifest,
} from '@weir/connect-timescale';
import { archiveHour } from '@weir/topology';
import type { LedgerEvents } from './events.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Objects that were stored within this time are compared in every round. */
const RECENT_MS = 2 * HOUR_MS;
/** Hours of keys compared in every round at most: a backlog may spread over many. */
const MOST_RECENT = 12;
/** Older hours take turns, for so long in a round. */
const OLDER_MS = 1_000;
const STATS_AT_A_TIME = 8;

export interface ArchiveWatchOptions {
  readonly database: Database;
  readonly store: Pick<Store, 'list' | 'stat'>;
  readonly bucket: string;
  /** How long the store keeps an object; Infinity: for ever. */
  readonly keepMs: number;
  readonly events: Pick<LedgerEvents, 'objectsMissing' | 'objectsBack' | 'objectsAdopted'>;
  /** Epoch milliseconds. */
  readonly now?: () => number;
}

/**
 * Compares what the archive holds with what it must hold. An object that nobody entered, as of an earlier version or
 * of an archiver that died behind its put, is entered here: from then on it must be there.
 */
export class ArchiveWatch {
  readonly #options: ArchiveWatchOptions;
  readonly #now: () => number;
  /** The next older hour, epoch milliseconds; null: the turn begins anew. */
  #older: number | null = null;

  constructor(options: ArchiveWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** The recent hours, and a stretch of the older ones. Throws `WeirError` (transient) when a server is away. */
  async round(): Promise<void> {
    const { database, bucket } = this.#options;
    const now = this.#now();
    const current = [archiveHour(now), archiveHour(now - HOUR_MS)];
    const since = new Date(now - RECENT_MS);
    const stored = await hoursStoredSince(database, bucket, since, archiveHour(0).length);
    for (const hour of new Set([...current, ...stored.slice(0, MOST_RECENT)])) await this.#compare(hour);

    const began = performance.now();
    this.#older ??= await this.#oldest();
    while (this.#older !== null && performance.now() - began < OLDER_MS) {
      await this.#compare(archiveHour(this.#older));
      this.#older = this.#older + HOUR_MS > now - HOUR_MS ? null : this.#older + HOUR_MS;
    }
  }

  /** Null: there is nothing. */
  async #oldest(): Promise<number | null> {
    const { database, store, bucket } = this.#options;
    const entered = await oldestKey(database, bucket);
    let listed: string | null = null;
    for await (const { key } of store.list(bucket, 'raw/v1/')) {
      listed = key;
      break;
    }
    const hours = [entered, listed].flatMap((key) => parseArchiveKey(key ?? '')?.hourMs ?? []);
    return hours.length === 0 ? null : Math.min(...hours);
  }

  async #compare(hour: string): Promise<void> {
    const { database, store, bucket, events } = this.#options;
    // In this order: what is entered was stored before, so a later listing must have it.
    const known = await readManifest(database, bucket, hour);
    const listed = new Map<string, ListedObject>();
    for await (const object of store.list(bucket, hour)) listed.set(object.key, object);

    const absent = [...known].filter(([key]) => !listed.has(key));
    const expired = absent.filter(([, { storedAt }]) => this.#isExpired(storedAt)).map(([key]) => key);
    await forgetObjects(database, bucket, expired);
    const suspects = absent
      .filter(([key, { isMissing }]) => !isMissing && !expired.includes(key))
      .map(([key]) => key);
    const gone: string[] = [];
    for (const key of suspects) if ((await store.stat(bucket, key)) === null) gone.push(key);
    await markObjects(database, bucket, gone, 'missing');
    if (gone.length > 0) events.objectsMissing(gone);

    const back = [...known]
      .filter(([key, { isMissing }]) => isMissing && listed.has(key))
      .map(([key]) => key);
    await markObjects(database, bucket, back, 'there');
    if (back.length > 0) events.objectsBack(back);
    await this.#adopt([...listed.values()].filter(({ key }) => !known.has(key)));
  }

  #isExpired(storedAt: Date): boolean {
    const { keepMs } = this.#options;
    if (!Number.isFinite(keepMs)) return false;
    // The store counts whole days; an hour for clocks that differ.
    const keptMs = Math.ceil(keepMs / DAY_MS) * DAY_MS - HOUR_MS;
    return storedAt.getTime() + keptMs <= this.#now();
  }

  async #adopt(objects: readonly ListedObject[]): Promise<void> {
    const { database, store, bucket, events } = this.#options;
    const entries: ManifestEntry[] = [];
    for (let at = 0; at < objects.length; at += STATS_AT_A_TIME) {
      const some = objects.slice(at, at + STATS_AT_A_TIME);
      const found = await Promise.all(some.map(({ key }) => store.stat(bucket, key)));
      some.forEach(({ key, size, storedAt }, i) => {
        const place = parseArchiveKey(key);
        const metadata = found[i]?.metadata;
        if (place === null || metadata === undefined) return;
        const { partition, first, last } = place;
        const lines = Number(metadata.count ?? 0);
        const readings = metadata.readings === undefined ? null : Number(metadata.readings);
        entries.push({ key, partition, first, last, readings, lines, bytes: size, storedAt });
      });
    }
    await enterObjects(database, bucket, entries);
    if (entries.length > 0) events.objectsAdopted(entries.length);
  }
}
