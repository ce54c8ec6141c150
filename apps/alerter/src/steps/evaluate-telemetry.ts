import type { Arrivals, Observation, ReadingBatch } from '@weir/alerts';
import type { Delivery, Settlement } from '@weir/connect-rabbitmq';
import { isFenced } from '@weir/connect-timescale';
import { isTransient, retrying, WeirError } from '@weir/flow';
import type { Engine } from '../engine.ts';
import type { AlerterEvents } from '../events.ts';
import { edgeName } from '../liveness/read-edge-message.ts';
import { decodeTelemetry, telemetrySource } from './decode-telemetry.ts';

const BACKOFF = { baseMs: 200, maxMs: 5_000 };

export interface EvaluateTelemetryOptions {
  readonly engine: Pick<Engine, 'rules' | 'evaluate'>;
  /** What arrivals tell of missing readings. */
  readonly heard: (arrivals: Arrivals) => readonly Observation[];
  readonly events: AlerterEvents;
  /** Called when an alert may have changed without that being known: the answer to a COMMIT was lost. */
  readonly onDoubt: () => void;
  /** While the database is away the deliveries wait here, in hand; when this aborts they go back to the queue. */
  readonly ended: AbortSignal;
}

const readingsIn = (delivery: Delivery): number =>
  typeof delivery.headers.count === 'number' ? delivery.headers.count : 1;

/** Evaluates telemetry messages against the rules, in one transaction, and settles each of them. */
export function evaluateTelemetry({ engine, heard, events, onDoubt, ended }: EvaluateTelemetryOptions) {
  return async function evaluateTelemetry(deliveries: readonly Delivery[]): Promise<Settlement[]> {
    const started = performance.now();
    const settlements: Settlement[] = deliveries.map(() => 'ack');
    const readings: ReadingBatch[] = [];
    const observations: Observation[] = [];
    const { rules } = engine;
    for (const [index, delivery] of deliveries.entries()) {
      try {
        const source = telemetrySource(delivery);
        const { site, metric } = source;
        const isExpected = rules.expecting(site, metric).length > 0;
        if (!isExpected && rules.watching(site, metric).length === 0) {
          events.unwatched(readingsIn(delivery));
          continue;
        }
        const batch = decodeTelemetry(delivery, source);
        readings.push(batch);
        const { edge } = delivery.headers;
        if (isExpected && typeof edge === 'string')
          observations.push(...heard({ ...batch, edge: edgeName(edge) }));
        if (batch.error !== undefined) throw batch.error;
      } catch (error) {
        if (!(error instanceof WeirError && error.retry === 'data')) throw error;
        events.messageRejected(error);
        settlements[index] = { failed: error };
      }
    }
    if (readings.length === 0) return settlements;
    const count = readings.reduce((sum, batch) => sum + batch.readings.length, 0);
    try {
      const { changes, evaluated } = await retrying(() => engine.evaluate({ readings, observations }), {
        ...BACKOFF,
        signal: ended,
        shouldRetry: (error) => isTransient(error) && !isFenced(error),
        onRetry: (error, _attempt, waitMs) => {
          // A connection lost during COMMIT leaves it open whether the changes are stored; the retry then finds none.
          onDoubt();
          events.databaseAway(error, waitMs);
        },
      });
      events.batchEvaluated(count, evaluated, changes, (performance.now() - started) / 1_000);
      return settlements;
    } catch (error) {
      if (!ended.aborted && !isTransient(error)) throw error;
      return deliveries.map(() => 'requeue');
    }
  };
}
