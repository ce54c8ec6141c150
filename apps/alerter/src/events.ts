import type { AlertChange } from '@weir/alerts';
import { errorMessage } from '@weir/flow';
import { type Logger, ledgerCounter, type Metrics, rateLimited } from '@weir/observe';

const DEVICE_EVENTS = new Set(['connected', 'disconnected', 'will']);

/** Everything the alerter tells: each event owns its log line and its metrics. */
export class AlerterEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #ledger;
  readonly #evaluated;
  readonly #transitions;
  readonly #deviceEvents;
  readonly #batch;
  readonly #differences;
  readonly #active;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#ledger = ledgerCounter(metrics);
    this.#evaluated = metrics.counter('weir_alerter_evaluations_total', 'Readings compared with a rule');
    this.#transitions = metrics.counter('weir_alert_transitions_total', 'Changes of alerts', [
      'severity',
      'state',
    ]);
    this.#deviceEvents = metrics.counter('weir_alerter_device_events_total', 'Device events received', [
      'kind',
    ]);
    this.#batch = metrics.histogram(
      'weir_alerter_batch_seconds',
      'From the first read of a batch of telemetry messages to its commit',
    );
    this.#differences = metrics.gauge(
      'weir_topology_differences',
      'Differences between RabbitMQ and the topology at the last comparison',
    );
    this.#active = metrics.gauge(
      'weir_alerter_active',
      '1 in the one alerter that acts, 0 in those that stand by',
    );
    this.#active.set(0);
  }

  /** Whether this process is the one that acts. */
  active(active: boolean): void {
    this.#active.set(active ? 1 : 0);
    this.#log.info(active ? 'this alerter is the active one now' : 'this alerter acts no more');
  }

  closedConnection(name: string): void {
    this.#log.info(`closed the connection "${name}" of the alerter that was active before`);
  }

  takeOverSlow(why: string): void {
    this.#log.warn(
      `the connections of the alerter that was active before stay open until their heartbeat fails: ${why}`,
    );
  }

  batchEvaluated(
    readings: number,
    evaluated: number,
    changes: readonly AlertChange[],
    seconds: number,
  ): void {
    this.#ledger.inc({ hop: 'alerter', outcome: 'stored', reason: '' }, readings);
    this.#evaluated.inc(evaluated);
    this.#batch.observe(seconds);
    this.changed(changes);
  }

  /** Series that a rule about anomalies watches are more than are scored. */
  notScored(limit: number): void {
    this.#limited('scores', (suppressed) =>
      this.#log.warn(
        { suppressed },
        `rules about anomalies watch more than ${limit} series; the others are not scored. Raise alerter.maxScored ` +
          '(0.5 MB each), or name fewer',
      ),
    );
  }

  changed(changes: readonly AlertChange[]): void {
    for (const { series, severity, state, value, threshold, id } of changes) {
      this.#transitions.inc({ severity, state });
      if (state === 'firing') this.#log.warn({ alert: id, ...series, value, threshold }, 'alert fires');
      else if (state === 'resolved') this.#log.info({ alert: id, ...series, value }, 'alert resolved');
    }
  }

  /** Readings of a message that no rule watches: looked at no further. */
  unwatched(readings: number): void {
    this.#ledger.inc({ hop: 'alerter', outcome: 'stored', reason: '' }, readings);
  }

  messageRejected(error: Error): void {
    this.#ledger.inc({ hop: 'alerter', outcome: 'returned', reason: '' });
    this.#limited('rejected', (suppressed) =>
      this.#log.error({ suppressed }, `${errorMessage(error)}; it becomes a dead letter`),
    );
  }

  databaseAway(error: unknown, waitMs: number): void {
    this.#limited('database', (suppressed) =>
      this.#log.warn(
        { suppressed, waitMs: Math.round(waitMs) },
        `evaluating telemetry waits for the database: ${errorMessage(error)}`,
      ),
    );
  }

  observe(metrics: Metrics, isBlocked: () => boolean): void {
    metrics.gauge('weir_backpressure_state', '0 free, 1 throttled, 2 blocked', ['hop'], (gauge) =>
      gauge.set({ hop: 'alerter-publish' }, isBlocked() ? 2 : 0),
    );
  }

  alertsOfRemovedRules(closed: number): void {
    if (closed > 0)
      this.#log.info({ closed }, 'closed the alerts of rules that the configuration no longer has');
  }

  /** @param fresh those that were not there at the last comparison */
  topologyDifferences(fresh: readonly string[], count: number): void {
    this.#differences.set(count);
    for (const difference of fresh)
      this.#log.warn(
        `RabbitMQ is not as the topology says: ${difference}. What is missing is declared again; ` +
          'for the rest see `weir topology check`',
      );
  }

  topologyCheckFailed(error: unknown): void {
    this.#limited('topology', (suppressed) =>
      this.#log.warn({ suppressed }, `comparing RabbitMQ with the topology: ${errorMessage(error)}`),
    );
  }

  deviceEvent(kind: string): void {
    this.#deviceEvents.inc({ kind: DEVICE_EVENTS.has(kind) ? kind : 'other' });
  }
}
