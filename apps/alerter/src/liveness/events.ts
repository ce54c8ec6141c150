import type { Liveness } from '@weir/alerts';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

/** What watching devices tells: each event owns its log line and its metrics. */
export class LivenessEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  #refused = 0;
  #counts: Liveness['counts'] = { devices: 0, suspects: 0, refused: 0, edges: 0 };

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    const gauge = (name: string, help: string, read: (counts: Liveness['counts']) => number): void => {
      metrics.gauge(name, help, [], (one) => one.set(read(this.#counts)));
    };
    gauge('weir_liveness_devices', 'Devices watched for silence', ({ devices }) => devices);
    gauge('weir_liveness_suspects', 'Devices that an offline rule calls silent', ({ suspects }) => suspects);
    gauge('weir_liveness_edges', 'Edges that devices were heard by', ({ edges }) => edges);
    gauge(
      'weir_liveness_unwatched_heartbeats',
      'Heartbeats of devices beyond alerter.liveness.maxDevices',
      ({ refused }) => refused,
    );
  }

  /** Told about once a second. */
  counted(counts: Liveness['counts']): void {
    this.#counts = counts;
    if (counts.refused === this.#refused) return;
    this.#refused = counts.refused;
    this.#limited('refused', (suppressed) =>
      this.#log.warn(
        { suppressed, devices: counts.devices },
        'there are more devices than alerter.liveness.maxDevices: the others are not watched for silence',
      ),
    );
  }
  restored(devices: number): void {
    this.#log.info({ devices }, 'devices and their rhythms are known from before');
  }
  unreadable(key: string): void {
    this.#limited('unreadable', (suppressed) =>
      this.#log.warn(
        { key, suppressed },
        'what an edge says of itself cannot be read; is it of another version?',
      ),
    );
  }
  databaseAway(error: unknown): void {
    this.#limited('database', (suppressed) =>
      this.#log.warn({ suppressed }, `who is silent waits for the database: ${errorMessage(error)}`),
    );
  }
}
