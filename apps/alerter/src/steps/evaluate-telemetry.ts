import type { Delivery, Settlement } from '@weir/connect-rabbitmq';
import { isTransient, retrying, WeirError } from '@weir/flow';
import type { AlerterEvents } from '../events.ts';
import type { RuleSet } from '../rules/rule-set.ts';
import type { AlertStore } from '../store/alert-store.ts';
import { decodeTelemetry, type TelemetryBatch, telemetrySource } from './decode-telemetry.ts';
import { evaluateRules, touchedSeries } from './evaluate-rules.ts';

const BACKOFF = { baseMs: 200, maxMs: 5_000 };

export interface EvaluateTelemetryOptions {
  readonly rules: RuleSet;
  readonly store: AlertStore;
  readonly events: AlerterEvents;
  /** Called after a commit that changed an alert, or may have. */
  readonly onChange: () => void;
  /** While the database is away the deliveries wait here, in hand; when this aborts they go back to the queue. */
  readonly stopping: AbortSignal;
}

const readingsIn = (delivery: Delivery): number =>
  typeof delivery.headers.count === 'number' ? delivery.headers.count : 1;

/** Evaluates telemetry messages against the rules, in one transaction, and settles each of them. */
export function evaluateTelemetry({ rules, store, events, onChange, stopping }: EvaluateTelemetryOptions) {
  return async function evaluateTelemetry(deliveries: readonly Delivery[]): Promise<Settlement[]> {
    const started = performance.now();
    const settlements: Settlement[] = deliveries.map(() => 'ack');
    const batches: TelemetryBatch[] = [];
    for (const [index, delivery] of deliveries.entries()) {
      try {
        const source = telemetrySource(delivery);
        if (rules.watching(source.site, source.metric).length === 0) {
          events.unwatched(readingsIn(delivery));
          continue;
        }
        const batch = decodeTelemetry(delivery, source);
        batches.push(batch);
        if (batch.error !== undefined) throw batch.error;
      } catch (error) {
        if (!(error instanceof WeirError && error.retry === 'data')) throw error;
        events.messageRejected(error);
        settlements[index] = 'reject';
      }
    }
    const series = touchedSeries(rules, batches);
    if (batches.length === 0) return settlements;
    const readings = batches.reduce((sum, batch) => sum + batch.readings.length, 0);
    // A connection lost during COMMIT leaves it open whether the changes are stored; the retry then finds none.
    let inDoubt = false;
    try {
      const { changes, evaluated } =
        series.size === 0
          ? { changes: [], evaluated: 0 }
          : await retrying(() => store.evaluate(series, (before) => evaluateRules(rules, before, batches)), {
              ...BACKOFF,
              signal: stopping,
              onRetry: (error, _attempt, waitMs) => {
                inDoubt = true;
                events.databaseAway(error, waitMs);
              },
            });
      events.batchEvaluated(readings, evaluated, changes, (performance.now() - started) / 1_000);
      if (changes.length > 0 || inDoubt) onChange();
      return settlements;
    } catch (error) {
      if (!stopping.aborted && !isTransient(error)) throw error;
      return deliveries.map(() => 'requeue');
    }
  };
}
