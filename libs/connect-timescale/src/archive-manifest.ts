import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** An object that the archive must hold. */
export interface ManifestEntry {
  readonly key: string;
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
  /** Null: nobody counted them. */
  readonly readings: number | null;
  readonly lines: number;
  /** As stored. */
  readonly bytes: number;
  readonly storedAt: Date;
}

/** An object that a listing lacked. */
export interface MissingObject extends Pick<ManifestEntry, 'key' | 'readings' | 'lines'> {
  readonly missingSince: Date;
}

/** Enters objects that were stored; again is harmless. */
export async function enterObjects(
  runner: Runner,
  bucket: string,
  entries: readonly ManifestEntry[],
): Promise<void> {
  if (entries.length === 0) return;
  await runner.query(
    'entering archive objects in the manifest',
    `INSERT INTO ${TABLES.archiveManifest} AS m
       (bucket, key, partition, first_offset, last_offset, readings, lines, bytes, stored_at)
     SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                              $8::bigint[], $9::timestamptz[])
     ON CONFLICT (bucket, key) DO UPDATE
       SET readings = coalesce(EXCLUDED.readings, m.readings), lines = EXCLUDED.lines, bytes = EXCLUDED.bytes,
           missing_since = NULL`,
    [
      bucket,
      entries.map(({ key }) => key),
      entries.map(({ partition }) => partition),
      entries.map(({ first }) => String(first)),
      entries.map(({ last }) => String(last)),
      entries.map(({ readings }) => readings),
      entries.map(({ lines }) => lines),
      entries.map(({ bytes }) => bytes),
      entries.map(({ storedAt }) => storedAt.toISOString()),
    ],
  );
}

/** What the manifest has under a prefix: keys, when they were stored, and whether they are known to be missing. */
export async function readManifest(
  runner: Runner,
  bucket: string,
  prefix: string,
): Promise<Map<string, { readonly storedAt: Date; readonly isMissing: boolean }>> {
  const rows = await runner.query<{ key: string; stored_at: Date; missing: boolean }>(
    'reading the manifest of the archive',
    `SELECT key, stored_at, missing_since IS NOT NULL AS missing FROM ${TABLES.archiveManifest}
      WHERE bucket = $1 AND key >= $2 AND key < $3`,
    // no key has a character above it
    [bucket, prefix, `${prefix}~`],
  );
  return new Map(
    rows.map(({ key, stored_at, missing }) => [key, { storedAt: stored_at, isMissing: missing }]),
  );
}

/** The hours, as beginnings of keys, whose objects were stored at or after `since`; the newest first. */
export async function hoursStoredSince(
  runner: Runner,
  bucket: string,
  since: Date,
  hourLength: number,
): Promise<string[]> {
  const rows = await runner.query<{ hour: string }>(
    'reading the manifest of the archive',
    `SELECT DISTINCT left(key, $3) AS hour FROM ${TABLES.archiveManifest}
      WHERE bucket = $1 AND stored_at >= $2 ORDER BY hour DESC`,
    [bucket, since.toISOString(), hourLength],
  );
  return rows.map(({ hour }) => hour);
}

/** The first key in the manifest; null: it is empty. */
export async function oldestKey(runner: Runner, bucket: string): Promise<string | null> {
  const [row] = await runner.query<{ key: string | null }>(
    'reading the manifest of the archive',
    `SELECT min(key) AS key FROM ${TABLES.archiveManifest} WHERE bucket = $1`,
    [bucket],
  );
  return row?.key ?? null;
}

/** Marks objects as missing from now on, or as there after all. */
export async function markObjects(
  runner: Runner,
  bucket: string,
  keys: readonly string[],
  state: 'missing' | 'there',
): Promise<void> {
  if (keys.length === 0) return;
  await runner.query(
    'marking archive objects in the manifest',
    `UPDATE ${TABLES.archiveManifest}
        SET missing_since = ${state === 'missing' ? 'coalesce(missing_since, now())' : 'NULL'}
      WHERE bucket = $1 AND key = ANY($2::text[])`,
    [bucket, keys],
  );
}

/** Takes objects out that retention has deleted. */
export async function forgetObjects(runner: Runner, bucket: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  await runner.query(
    'taking expired archive objects out of the manifest',
    `DELETE FROM ${TABLES.archiveManifest} WHERE bucket = $1 AND key = ANY($2::text[])`,
    [bucket, keys],
  );
}

/** Objects that are known to be missing, those for the longest time first; at most `limit`. */
export async function missingObjects(
  runner: Runner,
  bucket: string,
  limit: number,
): Promise<MissingObject[]> {
  const rows = await runner.query<{
    key: string;
    readings: string | null;
    lines: string;
    missing_since: Date;
  }>(
    'reading what the archive lacks',
    `SELECT key, readings, lines, missing_since FROM ${TABLES.archiveManifest}
      WHERE bucket = $1 AND missing_since IS NOT NULL ORDER BY missing_since, key LIMIT $2`,
    [bucket, limit],
  );
  return rows.map(({ key, readings, lines, missing_since }) => ({
    key,
    readings: readings === null ? null : Number(readings),
    lines: Number(lines),
    missingSince: missing_since,
  }));
}
