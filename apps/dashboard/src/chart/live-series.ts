/** The last readings of one metric, oldest first; late ones are put in their place. */
export class LiveSeries {
  readonly #keepMs: number;
  #times: number[] = [];
  #values: number[] = [];

  /** @param keepMs how far behind the newest reading a point is kept */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }
  /** @param ts event time, epoch milliseconds */
  add(ts: number, value: number): void {
    let at = this.#times.length;
    while (at > 0 && (this.#times[at - 1] ?? 0) > ts) at--;
    // The stored window of a moment and the live reading of it are the same point.
    if (at > 0 && this.#times[at - 1] === ts) {
      this.#values[at - 1] = value;
      return;
    }
    this.#times.splice(at, 0, ts);
    this.#values.splice(at, 0, value);
    const oldest = (this.#times.at(-1) ?? 0) - this.#keepMs;
    let spent = 0;
    while ((this.#times[spent] ?? Number.POSITIVE_INFINITY) < oldest) spent++;
    if (spent > 0) {
      this.#times.splice(0, spent);
      this.#values.splice(0, spent);
    }
  }
  get size(): number {
    return this.#times.length;
  }
  /** Seconds since the epoch, and values. */
  get data(): [number[], number[]] {
    return [this.#times.map((ts) => ts / 1_000), [...this.#values]];
  }
}
