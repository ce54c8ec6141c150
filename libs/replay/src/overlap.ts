import type { ArchiveReader } from '@weir/connect-minio';
import { isTransient, retrying } from '@weir/flow';
import type { Piece } from './archive-index.ts';

/** Pairs of objects of one partition that are read to tell. */
const PAIRS = 8;
const ATTEMPTS = 5;

/**
 * Whether objects of one partition hold different records under the same offset: then the topic was made anew, and its
 * archive holds the records of two logs. (The same records twice are those of an archiver that was frozen in a put.)
 * @param pieces by first offset
 * @returns the first such offset that was found; null: none
 */
export async function findTwoLogs(archive: ArchiveReader, pieces: Iterable<Piece>): Promise<bigint | null> {
  let before: Piece | null = null;
  let pairs = 0;
  for (const piece of pieces) {
    if (before !== null && piece.first <= before.last && pairs++ < PAIRS) {
      const offset = await firstDifference(archive, before, piece);
      if (offset !== null) return offset;
    }
    if (before === null || piece.last > before.last) before = piece;
  }
  return null;
}

async function firstDifference(archive: ArchiveReader, a: Piece, b: Piece): Promise<bigint | null> {
  const [left, right] = await Promise.all([linesOf(archive, a), linesOf(archive, b)]);
  for (const [offset, lines] of right) {
    const other = left.get(offset);
    if (other !== undefined && other !== lines) return offset;
  }
  return null;
}

/** By offset; of an object that cannot be read nothing: whoever folds it will tell. */
async function linesOf(archive: ArchiveReader, piece: Piece): Promise<Map<bigint, string>> {
  try {
    const records = await retrying(() => archive.readRecords(piece), { attempts: ATTEMPTS });
    return new Map([...records].map(({ offset, lines }) => [offset, lines.join('\n')]));
  } catch (error) {
    if (isTransient(error)) throw error;
    return new Map();
  }
}
