/** How far the index of the dead letters has read one partition of their topic; persisted before the group's offset. */
export interface LetterPlace {
  /** Everything below is in the index, or counted as missing. */
  readonly next: bigint;
  /** Letters that came into the index. */
  readonly taken: number;
  /** Letters that left the log before they were read. */
  readonly missing: number;
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/**
 * Where counting goes on when a partition is assigned. Without a place it begins at what the group has committed; a
 * log that ends before the place was made anew.
 */
export function openLetters(
  known: LetterPlace | null,
  log: { readonly committed: bigint | null; readonly end: bigint },
): LetterPlace {
  if (known === null) return { next: smaller(log.committed ?? 0n, log.end), taken: 0, missing: 0 };
  return known.next > log.end ? { ...known, next: 0n } : known;
}

/**
 * Letters from `first` to before `next` are in the index. What lies between the place and `first` is missing as far as
 * the log is known to begin behind it; elsewhere an offset without a record is a mark of a transaction. Letters that
 * were read before change nothing.
 * @param start where the log was seen to begin
 */
export function passLetters(
  known: LetterPlace,
  { first, next, start }: { readonly first: bigint; readonly next: bigint; readonly start: bigint },
): LetterPlace {
  if (next <= known.next) return known;
  const gone = Number(larger(0n, smaller(start, first) - known.next));
  const came = Number(next - larger(first, known.next));
  return { next, taken: known.taken + came, missing: known.missing + gone };
}
