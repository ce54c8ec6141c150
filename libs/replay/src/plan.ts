import type { Piece } from './archive-index.ts';

/** Offsets from `from` up to `to` (exclusive) of one partition, and who has them. */
export type Stretch =
  | { readonly from: bigint; readonly to: bigint; readonly source: 'archive'; readonly piece: Piece }
  /** `gap`: the archive has what comes behind, but not this. */
  | { readonly from: bigint; readonly to: bigint; readonly source: 'log'; readonly gap: boolean }
  | {
      readonly from: bigint;
      readonly to: bigint;
      readonly source: 'none';
      /** All of its records had arrived by then, epoch milliseconds; Infinity when nothing tells. */
      readonly arrivedBy: number;
    };

export interface LogRange {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Who has the offsets from `from` up to `to`: the archive where it can, the log for the rest, nobody for what is left.
 * Objects that hold the same records (the archiver was frozen in the midst of a put) are read once.
 * @param pieces by first offset
 */
export function planStretches(
  pieces: Iterable<Piece>,
  log: LogRange | undefined,
  from: bigint,
  to: bigint,
): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let at = from;
  const fill = (until: bigint, next: Piece | null): void => {
    const low = max(at, log?.start ?? until);
    const high = min(until, log?.end ?? at);
    const arrivedBy = next?.storedAt ?? Number.POSITIVE_INFINITY;
    if (low >= high) {
      if (at < until) stretches.push({ source: 'none', from: at, to: until, arrivedBy });
    } else {
      if (at < low) stretches.push({ source: 'none', from: at, to: low, arrivedBy });
      stretches.push({ source: 'log', from: low, to: high, gap: next !== null });
      if (high < until) stretches.push({ source: 'none', from: high, to: until, arrivedBy });
    }
    at = until;
  };
  for (const piece of pieces) {
    if (at >= to) break;
    if (piece.last < at) continue;
    if (piece.first > at) fill(min(piece.first, to), piece);
    if (at >= to) break;
    const end = min(piece.last + 1n, to);
    stretches.push({ source: 'archive', from: at, to: end, piece });
    at = end;
  }
  if (at < to) fill(to, null);
  return stretches;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
