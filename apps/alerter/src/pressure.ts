import type { Transaction } from '@weir/connect-timescale';
import { HopTime, type Metrics, observeHop, Waiting } from '@weir/observe';

type RunTransaction = <T>(doing: string, work: (transaction: Transaction) => Promise<T>) => Promise<T>;

/** An evaluation that takes longer than this holds messages back, seconds. */
const HELD_S = 1;

/** The alerter as a hop: messages in hand, and where their time goes. */
export class AlerterHop {
  readonly #time = new HopTime();
  readonly #waiting = new Waiting();

  /** @param limit messages that the broker hands out before it hears of one */
  constructor(metrics: Metrics, limit: number) {
    observeHop(
      metrics,
      {
        hop: 'alerter',
        policy: 'block',
        items: { used: () => this.#waiting.count, limit },
        state: () => (this.#waiting.count < limit ? 0 : this.#waiting.seconds < HELD_S ? 1 : 2),
        delay: () => this.#waiting.seconds,
      },
      this.#time,
    );
  }

  /** Counts what `work` settles as waiting until it is done. */
  inHand<I, R>(work: (item: I) => Promise<R>): (item: I) => Promise<R> {
    return (item) => {
      const ended = this.#waiting.begin();
      return work(item).finally(ended);
    };
  }
  /** Books evaluation as work. */
  working<I, R>(work: (item: I) => Promise<R>): (item: I) => Promise<R> {
    return (item) => this.#time.during('work', () => work(item));
  }
  /** Books transactions as waiting for the database. */
  inDatabase(transaction: RunTransaction): RunTransaction {
    return (doing, work) => this.#time.during('sink', () => transaction(doing, work));
  }
}
