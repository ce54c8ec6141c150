import { setTimeout as delay } from 'node:timers/promises';
import type { BroadcastMessage } from '@weir/topology';
import type { SpoolRecord } from '../spool/index.ts';

type Asked = Omit<Extract<BroadcastMessage, { kind: 'throttle' }>, 'kind'>;

/** However long somebody asks for: a monitor that has died throttles nobody. */
const LONGEST_MS = 10_000;

/**
 * Holds the way to Kafka to so many normal readings a second while the lag monitor asks for it. Critical readings,
 * events and dead letters cost nothing, but keep their place: what overtakes would make others of its device late.
 * Alerts do not depend on this way: RabbitMQ gets everything at once.
 */
export class Throttle {
  readonly #now: () => number;
  #rate = 0;
  #endsAt = 0;
  /** Readings that were sent beyond the rate; paid off by waiting. */
  #debt = 0;
  #paidAt = 0;
  #wake = (): void => {};

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Readings a second; null while nobody asks for a throttle. */
  get rate(): number | null {
    return this.#now() < this.#endsAt ? this.#rate : null;
  }

  /** What somebody said; anything that is not understood is passed over. */
  hear({ class: of, ratePerSecond, forMs }: Asked): void {
    if (of !== 'normal') return;
    this.#pay();
    if (ratePerSecond === null) this.#endsAt = 0;
    else if (Number.isFinite(ratePerSecond) && ratePerSecond >= 0 && Number.isFinite(forMs)) {
      this.#rate = ratePerSecond;
      this.#endsAt = this.#now() + Math.min(LONGEST_MS, Math.max(0, forMs));
    }
    this.#wake();
  }

  /** Resolves when the records may be sent; false: the stop came first. */
  async admit(records: readonly SpoolRecord[], stopping: AbortSignal): Promise<boolean> {
    for (let wait = this.#wait(); wait > 0 && !stopping.aborted; wait = this.#wait())
      await this.#pause(wait, stopping);
    if (stopping.aborted) return false;
    if (this.rate !== null)
      for (const { kind, critical, count } of records)
        if (kind === 'reading' && !critical) this.#debt += count;
    return true;
  }

  /** Milliseconds until the debt is paid or the throttle ends. */
  #wait(): number {
    this.#pay();
    if (this.#debt === 0) return 0;
    const left = this.#endsAt - this.#now();
    return this.#rate === 0 ? left : Math.min(left, (this.#debt * 1_000) / this.#rate);
  }
  #pay(): void {
    const now = this.#now();
    if (now >= this.#endsAt) this.#debt = 0;
    else this.#debt = Math.max(0, this.#debt - ((now - this.#paidAt) * this.#rate) / 1_000);
    // Less than one is rounding: a wait that ends a little early must not be followed by another.
    if (this.#debt < 1e-6) this.#debt = 0;
    this.#paidAt = now;
  }
  async #pause(ms: number, stopping: AbortSignal): Promise<void> {
    const changed = new AbortController();
    this.#wake = () => changed.abort();
    // whatever ends it, the caller looks again
    await delay(ms, undefined, { signal: AbortSignal.any([stopping, changed.signal]) }).catch(() => {});
  }
}
