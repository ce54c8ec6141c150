/** Numbers ordered by a time: the earliest is at hand. Times and numbers lie in arrays of their own, without objects. */
export class TimeHeap {
  readonly #times: Float64Array;
  readonly #items: Int32Array;
  #size = 0;

  /** @param capacity most items at a time */
  constructor(capacity: number) {
    this.#times = new Float64Array(capacity);
    this.#items = new Int32Array(capacity);
  }

  get size(): number {
    return this.#size;
  }
  /** The earliest time; Infinity when empty. */
  get time(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number);
  }
  /** The item of the earliest time. */
  get item(): number {
    return this.#items[0] as number;
  }

  push(time: number, item: number): void {
    let at = this.#size++;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if ((this.#times[up] as number) <= time) break;
      this.#move(up, at);
      at = up;
    }
    this.#put(at, time, item);
  }

  /** Takes the earliest out. */
  pop(): void {
    this.#size--;
    if (this.#size > 0) this.#sink(this.#times[this.#size] as number, this.#items[this.#size] as number);
  }

  /** Gives the earliest item another time: cheaper than to take it out and put it in. */
  retime(time: number): void {
    this.#sink(time, this.item);
  }

  #sink(time: number, item: number): void {
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= this.#size) break;
      if (down + 1 < this.#size && (this.#times[down + 1] as number) < (this.#times[down] as number)) down++;
      if ((this.#times[down] as number) >= time) break;
      this.#move(down, at);
      at = down;
    }
    this.#put(at, time, item);
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from] as number;
    this.#items[to] = this.#items[from] as number;
  }
  #put(at: number, time: number, item: number): void {
    this.#times[at] = time;
    this.#items[at] = item;
  }
}
