/** A queue of at most `limit` items: a new item pushes the oldest out, and it is counted. */
export class DropHeadBuffer<T> {
  readonly #limit: number;
  #items: T[] = [];
  #head = 0;
  #dropped = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }
  get size(): number {
    return this.#items.length - this.#head;
  }
  push(item: T): void {
    if (this.size >= this.#limit) {
      this.#head++;
      this.#dropped++;
    }
    this.#items.push(item);
    // Moving the tail down only when half of the array is spent keeps a push at constant cost on average.
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }
  /** Takes up to `most` of the oldest items. */
  take(most: number): T[] {
    const taken = this.#items.slice(this.#head, this.#head + most);
    this.#head += taken.length;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return taken;
  }
  /** Items dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
