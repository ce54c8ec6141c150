import {
  Counter,
  type CounterConfiguration,
  collectDefaultMetrics,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  Registry,
} from 'prom-client';
import { Tally } from './tally.ts';

/** Each answer makes a list of all sockets; with 10,000 of them it would show in the edge's profile. */
const PER_HANDLE = ['active_handles', 'active_requests', 'active_resources'].flatMap((name) => [
  `nodejs_${name}`,
  `nodejs_${name}_total`,
]);

/** OpenTelemetry's default boundaries for durations, in seconds, extended to one minute. */
export const SECONDS_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60,
];

/**
 * The metrics of one app. Label names are fixed where a metric is made; values must come from closed sets. Parts of
 * an app may ask for the same name: they share the metric, and every part's `collect` runs.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #collects = new Map<string, (() => void)[]>();

  constructor(app: string) {
    this.registry.setDefaultLabels({ app });
    collectDefaultMetrics({ register: this.registry });
    for (const name of PER_HANDLE) this.registry.removeSingleMetric(name);
    this.counter(
      'weir_loop_busy_seconds_total',
      'Time in which the event loop had something to do',
      [],
      (busy) => {
        // Time that the system gave to other processes counts as well: the loop had something to do.
        const active = performance.eventLoopUtilization().active / 1_000;
        busy.inc(Math.max(0, active - this.#loopBusy));
        this.#loopBusy = active;
      },
    );
  }
  #loopBusy = 0;

  /** @param collect moves the counter on when somebody asks for the metrics */
  counter<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (counter: Counter<L>) => void,
  ): Counter<L> {
    return this.#collecting(Counter<L>, name, help, labelNames, collect);
  }
  gauge<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (gauge: Gauge<L>) => void,
  ): Gauge<L> {
    return this.#collecting(Gauge<L>, name, help, labelNames, collect);
  }
  histogram<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    buckets = SECONDS_BUCKETS,
  ): Histogram<L> {
    return (
      this.#made<Histogram<L>>(name) ??
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.registry] })
    );
  }
  #collecting<L extends string, M extends Counter<L> | Gauge<L>>(
    Made: new (options: CounterConfiguration<L> & GaugeConfiguration<L>) => M,
    name: string,
    help: string,
    labelNames: readonly L[],
    collect?: (metric: M) => void,
  ): M {
    const collects = this.#collects.get(name) ?? [];
    this.#collects.set(name, collects);
    const metric =
      this.#made<M>(name) ??
      new Made({
        name,
        help,
        labelNames,
        registers: [this.registry],
        collect() {
          for (const each of collects) each();
        },
      });
    if (collect !== undefined) collects.push(() => collect(metric));
    return metric;
  }
  /** A histogram without labels, for what happens many times at once. */
  tally(name: string, help: string, buckets = SECONDS_BUCKETS): Tally {
    return this.#made<Tally>(name) ?? new Tally(this.registry, name, help, buckets);
  }
  #made<M>(name: string): M | undefined {
    return this.registry.getSingleMetric(name) as M | undefined;
  }
}
