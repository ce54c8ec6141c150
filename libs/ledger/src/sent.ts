/**
 * What stands in the header `weir-sent` of a record: how many readings an edge has sent of this partition before and
 * behind it. Who reads a partition in order sees by that exactly what is missing; a record that was sent again says
 * the same as the first time. Beside it, what became of the other readings that the edge had accepted by then.
 */
export interface Sent extends AtEdge {
  /** `<edge id>/<spool id>`, without a space. */
  readonly edge: string;
  /** When this count began, epoch milliseconds; another count begins when the edge has lost its own. */
  readonly since: number;
  /** Readings of this partition that were sent before the record. */
  readonly before: number;
  /** With those of the record. */
  readonly after: number;
}

/** What a spool had taken and did not send, in readings since its count began. */
export interface AtEdge {
  /** Messages that the edge refused and sent as dead letters. */
  readonly letters: number;
  /** Buried because Kafka can never take them. */
  readonly buried: number;
  /** Dropped by the policy of a full spool. */
  readonly dropped: number;
  /** Missing in the spool for no known reason. */
  readonly lost: number;
}

export function formatSent(sent: Sent): string {
  const { edge, since, before, after, letters, buried, dropped, lost } = sent;
  return `${edge} ${since} ${before} ${after} ${letters} ${buried} ${dropped} ${lost}`;
}

/** Null: not a text of `formatSent`. */
export function parseSent(text: string): Sent | null {
  const parts = text.split(' ');
  const [edge = '', ...rest] = parts;
  const numbers = rest.map(Number);
  if (edge === '' || numbers.length < 7 || !numbers.every((n) => Number.isSafeInteger(n) && n >= 0))
    return null;
  const [since, before, after, letters, buried, dropped, lost] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (after < before) return null;
  return { edge, since, before, after, letters, buried, dropped, lost };
}
