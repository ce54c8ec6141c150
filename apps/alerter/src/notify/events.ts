import { type Logger, type Metrics, rateLimited } from '@weir/observe';
import type { LaneState } from './lane.ts';
import type { Settlement } from './outbox.ts';

const STATES: Readonly<Record<LaneState, number>> = { healthy: 0, failing: 1, open: 2 };

/** Everything that is told of notifications: each event owns its log line and its metrics. */
export class NotifyEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #deliveries;
  readonly #seconds;
  readonly #state;
  readonly #waiting;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    // Notifiers are named in the configuration, so there are only so many.
    this.#deliveries = metrics.counter(
      'weir_alert_deliveries_total',
      'Attempts to tell a notifier of alerts: sent, retried (tried again later), refused, expired',
      ['notifier', 'outcome'],
    );
    this.#seconds = metrics.histogram(
      'weir_alert_delivery_seconds',
      'From the commit of a change of an alert until its receiver took it',
      ['notifier'],
    );
    this.#state = metrics.gauge(
      'weir_notifier_state',
      '0 healthy, 1 the last attempt failed, 2 the breaker is open',
      ['notifier'],
    );
    this.#waiting = metrics.gauge(
      'weir_alert_deliveries_waiting',
      'Deliveries that are to be sent (queued) or kept back by silences and maintenance (held)',
      ['notifier', 'state'],
    );
  }

  settled(notifier: string, settlements: readonly Settlement[], state: LaneState, now: number): void {
    this.#state.set({ notifier }, STATES[state]);
    for (const { message, outcome } of settlements) {
      const kind =
        outcome.state === 'sent' ? 'sent' : outcome.state === 'queued' ? 'retried' : outcome.reason;
      this.#deliveries.inc({ notifier, outcome: kind });
      if (outcome.state === 'sent') {
        this.#seconds.observe({ notifier }, (now - message.since) / 1_000);
      } else if (outcome.state === 'failed') {
        this.#log.error(
          { notifier, message: message.id, attempts: message.attempts },
          `a notification is given up: ${outcome.error}`,
        );
      } else {
        this.#limited(`retry ${notifier}`, (suppressed) =>
          this.#log.warn(
            { notifier, message: message.id, attempts: message.attempts, suppressed },
            `a notification is tried again: ${outcome.error}`,
          ),
        );
      }
    }
  }

  waiting(notifier: string, queued: number, held: number): void {
    this.#waiting.set({ notifier, state: 'queued' }, queued);
    this.#waiting.set({ notifier, state: 'held' }, held);
  }

  removedNotifiers(deliveries: number): void {
    if (deliveries > 0)
      this.#log.warn({ deliveries }, 'given up what notifiers were to be told that are no longer configured');
  }

  databaseAway(error: unknown): void {
    this.#limited('database', (suppressed) =>
      this.#log.warn({ suppressed }, `notifications wait for the database: ${(error as Error).message}`),
    );
  }

  refreshFailed(notifier: string, error: unknown): void {
    this.#limited(`refresh ${notifier}`, (suppressed) =>
      this.#log.warn({ notifier, suppressed }, `telling again of what fires: ${(error as Error).message}`),
    );
  }

  /** @param problems why rules are left out, by their ids */
  rulesInForce(count: number, problems: ReadonlyMap<string, readonly { readonly message: string }[]>): void {
    this.#log.info({ rules: count }, 'rules are in force');
    for (const [rule, all] of problems)
      this.#log.error(
        { rule },
        `a rule made through the API is not applied: ${all.map(({ message }) => message).join('; ')}`,
      );
  }

  windowUnusable(id: string, why: string): void {
    this.#limited(`window ${id}`, () =>
      this.#log.error({ window: id }, `a maintenance window is not applied: ${why}`),
    );
  }
}
