import { randomUUID } from 'node:crypto';
import { fenced, type Lease } from '@weir/connect-timescale';
import { forgetPack, movePack, type PackPart, partsOf } from '@weir/dead-letters';
import type { Parts } from '../parts.ts';

/** Which of a pack's letters lose their bytes. */
export type Doomed = (part: PackPart) => boolean;

/**
 * Removes bytes from a pack for good: what others still need moves to a new pack, then the old one is deleted, then the
 * rows say so. Interrupted anywhere, it is begun again. Answers how many letters have lost their bytes; 0 when somebody
 * changed one of them meanwhile: look again.
 */
export async function clearPack(
  { database, store, bucket }: Pick<Parts, 'database' | 'store' | 'bucket'>,
  lease: Lease,
  object: string,
  doomed: Doomed,
): Promise<number> {
  const parts = await partsOf(database, object);
  const living = parts.filter((part) => !doomed(part));
  if (living.length > 0) {
    const { body } = await store.get(bucket, object);
    const to = `${object.slice(0, object.lastIndexOf('/'))}/${randomUUID()}.pack`;
    let offset = 0;
    const moved = living.map(({ id, length }) => {
      const part = { id, offset };
      offset += length;
      return part;
    });
    const slices = living.map((part) => body.subarray(part.offset, part.offset + part.length));
    await store.put(bucket, to, Buffer.concat(slices));
    const same = await fenced(database, lease, 'moving the bytes of dead letters', async (transaction) => {
      const now = (await partsOf(transaction, object, true)).filter((part) => !doomed(part));
      const unchanged = now.length === living.length && now.every(({ id }, i) => id === living[i]?.id);
      if (unchanged) await movePack(transaction, object, to, moved);
      return unchanged;
    });
    if (!same) {
      await store.remove(bucket, [to]);
      return 0;
    }
  }
  await store.remove(bucket, [object]);
  return fenced(database, lease, 'recording that bytes are removed', (transaction) =>
    forgetPack(transaction, object),
  );
}
