import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { WeirError } from '@weir/flow';
import { type ArchivedRecord, recordsIn } from './records.ts';
import { openStore, type StoreOptions } from './store.ts';

/** One object of the raw archive, as its key tells. */
export interface ArchiveObject {
  readonly key: string;
  /** Bytes as stored. */
  readonly size: number;
  /** When it was stored, epoch milliseconds, by the store's clock. */
  readonly storedAt: number;
  readonly partition: number;
  /** Offsets of its first and last record. */
  readonly first: bigint;
  readonly last: bigint;
  /** Start of the hour of its first record, epoch milliseconds. */
  readonly hourMs: number;
}

/** What an object's metadata says; all of it is written by the archiver. */
export interface ArchiveInfo {
  /** Lines. */
  readonly count: number;
  /** Readings in them; null: the archiver did not count them, as in version 0.1. */
  readonly readings: number | null;
  readonly records: number;
  /** Bytes of the lines before compression. */
  readonly bytes: number;
  /** Arrival times of its earliest and latest line, epoch milliseconds; null when no line has one. */
  readonly minAt: number | null;
  readonly maxAt: number | null;
  /** SHA-256 of the lines before compression, hexadecimal. */
  readonly sha256: string;
}

/** A line of the archive: an envelope with its place in the log, or a record that is no lines, as base64. */
export interface ArchiveLine {
  readonly partition: number;
  readonly offset: number;
  readonly line: number;
  readonly raw_base64?: string;
  readonly [key: string]: unknown;
}

export interface ArchiveQuery {
  readonly partition?: number;
  /** Records that arrived from here on (epoch milliseconds), to the hour; objects of the hour before are included. */
  readonly from?: number;
  /** Records that arrived before here. */
  readonly to?: number;
}

export interface ArchiveReader {
  /** By hour, then by key. Objects that do not bear an archive name are left out. */
  listObjects(query?: ArchiveQuery): AsyncGenerator<ArchiveObject, void, undefined>;
  info(object: Pick<ArchiveObject, 'key'>): Promise<ArchiveInfo>;
  /**
   * The lines in order, verified against the SHA-256 in the metadata before the first one comes; `text` has no newline.
   * Throws a data error (`WEIR_DECODE`) when the bytes are not the ones that were archived.
   */
  readLines(
    object: Pick<ArchiveObject, 'key'>,
  ): AsyncGenerator<{ readonly text: string; readonly line: ArchiveLine }, void, undefined>;
  /**
   * The records of an object in offset order, for those who read everything: bytes are verified as by `readLines`, and
   * the offsets must run from the first to the last of the object's name without a gap. Nothing is parsed but the
   * place in front of each line: 0.3 µs a line of 200 bytes. Throws a data error (`WEIR_DECODE`, `WEIR_STATE` when the object is gone); the iteration itself throws too.
   */
  readRecords(object: Pick<ArchiveObject, 'key' | 'first' | 'last'>): Promise<Iterable<ArchivedRecord>>;
  /** Closes idle connections; idempotent. */
  close(): void;
}

const ROOT = 'raw/v1/';
const HOUR_MS = 3_600_000;
const KEY = /^raw\/v1\/dt=(\d{4}-\d\d-\d\d)\/hour=(\d\d)\/p(\d+)-(\d{20})-(\d{20})\.ndjson\.zst$/;
const decompress = promisify(zstdDecompress);

export function parseArchiveKey(key: string): Omit<ArchiveObject, 'size' | 'storedAt'> | null {
  const match = KEY.exec(key);
  if (match === null) return null;
  const [, day, hour, partition, first, last] = match;
  return {
    key,
    partition: Number(partition),
    first: BigInt(first ?? 0),
    last: BigInt(last ?? 0),
    hourMs: Date.parse(`${day}T${hour}:00:00Z`),
  };
}

/** Reads what the archiver wrote; `bucket` from `archiveBucket` of the topology. */
export function openArchive(options: StoreOptions & { readonly bucket: string }): ArchiveReader {
  const { bucket } = options;
  const store = openStore(options);

  const verified = async (key: string): Promise<Buffer> => {
    const { body, metadata } = await store.get(bucket, key);
    const bytes = await decompress(body).catch((error: unknown) => {
      throw new WeirError('WEIR_DECODE', 'data', `archive object ${key} is no zstd data`, error);
    });
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (sha256 === metadata.sha256) return bytes;
    throw new WeirError(
      'WEIR_DECODE',
      'data',
      `archive object ${key}: its lines have SHA-256 ${sha256}, the archiver wrote ${metadata.sha256 ?? 'none'}`,
    );
  };

  return {
    close: () => store.close(),

    async *listObjects(query = {}) {
      for (const prefix of prefixes(query)) {
        for await (const { key, size, storedAt } of store.list(bucket, prefix)) {
          const parsed = parseArchiveKey(key);
          if (parsed === null) continue;
          if (query.partition !== undefined && parsed.partition !== query.partition) continue;
          // An object opened late in an hour holds records of the next one.
          if (query.from !== undefined && parsed.hourMs < hourOf(query.from) - HOUR_MS) continue;
          if (query.to !== undefined && parsed.hourMs >= query.to) continue;
          yield { ...parsed, size, storedAt: storedAt.getTime() };
        }
      }
    },

    async info({ key }) {
      const found = await store.stat(bucket, key);
      if (found === null) throw new WeirError('WEIR_STATE', 'data', `archive object ${key} is not there`);
      const { metadata } = found;
      const time = (name: string): number | null => (metadata[name] ? Number(metadata[name]) : null);
      return {
        count: Number(metadata.count),
        readings: metadata.readings === undefined ? null : Number(metadata.readings),
        records: Number(metadata.records),
        bytes: Number(metadata.bytes),
        minAt: time('min-at'),
        maxAt: time('max-at'),
        sha256: metadata.sha256 ?? '',
      };
    },

    async *readLines({ key }) {
      const bytes = await verified(key);
      for (let start = 0; start < bytes.length; ) {
        const end = bytes.indexOf(10, start);
        const text = bytes.toString('utf8', start, end < 0 ? bytes.length : end);
        yield { text, line: JSON.parse(text) as ArchiveLine };
        start = end < 0 ? bytes.length : end + 1;
      }
    },

    readRecords: async (object) => recordsIn(await verified(object.key), object),
  };
}

const hourOf = (ms: number): number => ms - (ms % HOUR_MS);

/** Hours that are listed one by one for a single partition: of a day, the keys of the others are the most. */
const FEW_HOURS = 48;
/** UTC, as in the keys. */
const dayOf = (ms: number): string => `${ROOT}dt=${new Date(ms).toISOString().slice(0, 10)}/`;

/** One prefix a day, or an hour and partition, when the query names a short range; else the root. */
function prefixes({ from, to, partition }: ArchiveQuery): string[] {
  if (from === undefined) return [ROOT];
  const first = hourOf(from) - HOUR_MS;
  const end = to ?? Date.now() + 2 * HOUR_MS;
  const found: string[] = [];
  if (partition !== undefined && end - first <= FEW_HOURS * HOUR_MS) {
    for (let ms = first; ms < end; ms += HOUR_MS)
      found.push(`${dayOf(ms)}hour=${new Date(ms).toISOString().slice(11, 13)}/p${partition}-`);
    return found;
  }
  for (let ms = first - (first % 86_400_000); ms < end; ms += 86_400_000) {
    found.push(dayOf(ms));
    if (found.length > 366) return [ROOT];
  }
  return found;
}
