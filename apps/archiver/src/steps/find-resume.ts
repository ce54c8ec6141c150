import { parseArchiveKey, type Store } from '@weir/connect-minio';
import { archiveKeyPrefix } from '@weir/topology';

/**
 * The last offset of the object that begins with the record at `offset`, or null when there is none. Objects of a
 * partition follow each other without a hole, so asking again with the record after it finds the end of what was put
 * but not committed.
 */
export async function findResume(
  store: Pick<Store, 'list'>,
  bucket: string,
  partition: number,
  offset: bigint,
  timestampMs: number,
): Promise<bigint | null> {
  let last: bigint | null = null;
  for await (const { key } of store.list(bucket, archiveKeyPrefix(partition, offset, timestampMs))) {
    const found = parseArchiveKey(key);
    // Two objects may begin with one record (an owner that was paused for long): the longer one counts.
    if (found !== null && (last === null || found.last > last)) last = found.last;
  }
  return last;
}
