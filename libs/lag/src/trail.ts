/** The log had this end from `first` to `last` (epoch milliseconds), as far as was seen. */
interface Point {
  readonly end: number;
  readonly first: number;
  last: number;
}

const MOST_POINTS = 64;

/**
 * When a log had which end: from that the time of a record follows without reading it, by interpolation between two
 * measurements. Under an even input the error is far below their distance, and never more than it.
 */
export class Trail {
  #points: Point[] = [];

  /** The log has this end. One that is shorter than before is another log: all is forgotten. */
  add(end: number, at: number): void {
    const last = this.#points.at(-1);
    if (last !== undefined && end < last.end) this.#points = [];
    else if (last?.end === end) {
      last.last = Math.max(last.last, at);
      return;
    }
    this.#points.push({ end, first: at, last: at });
    if (this.#points.length > MOST_POINTS) this.#thin();
  }

  /** The record at `offset` has this timestamp: the log ended before it until then. */
  read(offset: number, at: number): void {
    const index = this.#points.findIndex(({ end }) => end >= offset);
    const next = this.#points[index];
    if (next === undefined || next.end === offset) return;
    const before = this.#points[index - 1];
    // A producer's clock may differ: what does not fit between its neighbours would make time run backwards.
    if (at > next.first || (before !== undefined && at < before.last)) return;
    this.#points.splice(index, 0, { end: offset, first: at, last: at });
    if (this.#points.length > MOST_POINTS) this.#thin();
  }

  /** Forgets what only records before `place` need. */
  passed(place: number): void {
    const keep = this.#points.findLastIndex(({ end }) => end <= place);
    if (keep > 0) this.#points.splice(0, keep);
  }

  /**
   * When the record at `offset` came, epoch milliseconds; `exact: false`: no later than that. Null when nothing is
   * known of it. `offset` lies before the end.
   */
  timeOf(offset: number): { readonly at: number; readonly exact: boolean } | null {
    const index = this.#points.findIndex(({ end }) => end > offset);
    const after = this.#points[index];
    if (after === undefined) return null;
    const before = this.#points[index - 1];
    if (before === undefined) return { at: after.first, exact: false };
    const share = (offset - before.end + 0.5) / (after.end - before.end);
    return { at: before.last + share * (after.first - before.last), exact: true };
  }

  /** Every second point of the older half goes: a long backlog is known more coarsely where it is old. */
  #thin(): void {
    const half = this.#points.length / 2;
    this.#points = this.#points.filter((_, index) => index === 0 || index >= half || index % 2 === 0);
  }
}
