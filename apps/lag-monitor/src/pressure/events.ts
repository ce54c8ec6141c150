import { HOPS } from '@weir/api';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';
import type { Bottleneck, Throttle } from '@weir/pressure';

/** What watching the pressure tells: each event owns its log line and its metrics. */
export class PressureEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #named;
  readonly #rate;
  #throttling = false;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#named = metrics.gauge('weir_bottleneck', '1 for the hop that holds the others back', ['hop']);
    for (const hop of HOPS) this.#named.set({ hop }, 0);
    this.#rate = metrics.gauge(
      'weir_throttle_readings_per_second',
      'What each edge may send to Kafka of normal readings; -1: all it has',
    );
    this.#rate.set(-1);
  }

  bottleneck(now: Bottleneck | null, before: Bottleneck | null): void {
    if (before !== null) this.#named.set({ hop: before.hop }, 0);
    if (now === null) {
      this.#log.info({ hop: before?.hop }, 'nothing holds the pipeline back any more');
      return;
    }
    this.#named.set({ hop: now.hop }, 1);
    this.#log.warn({ hop: now.hop }, `the pipeline is held back by ${now.hop}: ${now.why}`);
  }

  throttle({ ratePerSecond, why }: Throttle, mode: 'on' | 'dry-run' | 'off'): void {
    this.#rate.set(ratePerSecond === null || mode === 'off' ? -1 : ratePerSecond);
    const throttling = ratePerSecond !== null && mode !== 'off';
    if (throttling !== this.#throttling) {
      const what = mode === 'on' ? 'edges are told to send' : 'dry run: edges would be told to send';
      if (throttling) this.#log.warn({ ratePerSecond }, `${what} less to Kafka: ${why}`);
      else this.#log.info(`${what} all they have again: ${why}`);
    }
    this.#throttling = throttling;
  }

  /** A throttle ends by itself, so that nobody is held back by a word that was lost. */
  notTold(error: unknown): void {
    this.#limited('told', (suppressed) =>
      this.#log.warn({ suppressed }, `telling edges how much to send: ${errorMessage(error)}`),
    );
  }
}
