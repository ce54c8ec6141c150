import { type Column, compareKeys, type TupleCursor } from '@weir/connect-timescale';

/** What becomes of each pair of rows; the cursors stand on them during the call. */
export interface Pairing {
  /** Both have it, bit for bit. */
  equal(left: TupleCursor): void;
  different(left: TupleCursor, right: TupleCursor): void;
  leftOnly(left: TupleCursor): void;
  rightOnly(right: TupleCursor): void;
}

/**
 * Walks two streams of rows in the order of their keys, one row of each in hand.
 * @param keys number of leading columns that name a row
 */
export async function mergeJoin(
  left: TupleCursor,
  right: TupleCursor,
  columns: readonly Column[],
  keys: number,
  pairing: Pairing,
): Promise<void> {
  let a = await left.next();
  let b = await right.next();
  while (a || b) {
    const order = a && b ? compareKeys(left, right, columns, keys) : a ? -1 : 1;
    if (order < 0) pairing.leftOnly(left);
    else if (order > 0) pairing.rightOnly(right);
    else if (left.equals(right)) pairing.equal(left);
    else pairing.different(left, right);
    // Waiting costs ten times what a row does: only between two pieces of a stream.
    if (order <= 0) a = left.advance() || (await left.next());
    if (order >= 0) b = right.advance() || (await right.next());
  }
}
