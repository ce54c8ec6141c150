import type { LeadershipEvents } from '@weir/connect-timescale';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

/** What the process as a whole tells: each event owns its log line and its metrics. */
export class MonitorEvents implements LeadershipEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #active;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#active = metrics.gauge(
      'weir_lag_monitor_active',
      '1 in the one lag monitor that acts, 0 in those that stand by',
    );
    this.#active.set(0);
  }

  active(active: boolean): void {
    this.#active.set(active ? 1 : 0);
    this.#log.info(active ? 'this lag monitor acts now' : 'this lag monitor acts no more');
  }

  databaseAway(error: unknown, againMs: number): void {
    this.#limited('database', (suppressed) =>
      this.#log.warn(
        { suppressed, againMs },
        `waiting for the database to lead; measuring goes on: ${errorMessage(error)}`,
      ),
    );
  }
}
