/** A rate with a burst of one second. Looks at the clock only when it seems empty. */
export class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  /** @param now milliseconds of `performance.now()` */
  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#at = now;
  }
  isEmpty(): boolean {
    if (this.#tokens >= 1) return false;
    const now = performance.now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((now - this.#at) * this.#perSecond) / 1_000);
    this.#at = now;
    return this.#tokens < 1;
  }
  take(): void {
    this.#tokens--;
  }
}
