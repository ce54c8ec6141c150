/** Bucket of the raw archive; `namespace` as in `kafkaTopology`. */
export function archiveBucket(namespace = ''): string {
  return namespace === '' ? 'weir-archive' : `weir-archive-${namespace}`;
}

const pad = (n: bigint): string => String(n).padStart(20, '0');

/** Everything of an object's key that is known from its first record: `raw/v1/dt=…/hour=…/p<partition>-<first>-`. */
export function archiveKeyPrefix(partition: number, firstOffset: bigint, firstTimestampMs: number): string {
  return `${archiveHour(firstTimestampMs)}p${partition}-${pad(firstOffset)}-`;
}
/** The beginning of the keys of an hour, UTC: `raw/v1/dt=…/hour=…/`; always as long as any other. */
export function archiveHour(timestampMs: number): string {
  const iso = new Date(timestampMs).toISOString();
  return `raw/v1/dt=${iso.slice(0, 10)}/hour=${iso.slice(11, 13)}/`;
}
export function archiveKey(partition: number, first: bigint, last: bigint, firstTimestampMs: number): string {
  return `${archiveKeyPrefix(partition, first, firstTimestampMs)}${pad(last)}.ndjson.zst`;
}

/** Bucket of the bytes of dead letters; `namespace` as in `kafkaTopology`. */
export function deadLetterBucket(namespace = ''): string {
  return namespace === '' ? 'weir-dead-letters' : `weir-dead-letters-${namespace}`;
}
/** Everything in that bucket that holds the bytes of letters. */
export const PACK_PREFIX = 'packs/v1/';
