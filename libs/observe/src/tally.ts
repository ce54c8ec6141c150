import type { Metric, Registry } from 'prom-client';

/** A histogram that takes many equal observations at once, at the cost of one; prom-client's takes 0.4 µs for each. */
export class Tally {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  /** Observations up to each bound, and above the last one. */
  readonly #counts: number[];
  #sum = 0;

  /** @param buckets upper bounds, ascending */
  constructor(registry: Registry, name: string, help: string, buckets: readonly number[]) {
    this.name = name;
    this.#help = help;
    this.#bounds = buckets;
    this.#counts = new Array<number>(buckets.length + 1).fill(0);
    // the registry asks for the name and `get` alone
    registry.registerMetric(this as unknown as Metric);
  }

  observe(value: number, times = 1): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] as number) + times;
    this.#sum += value * times;
  }

  /** For the registry. */
  async get(): Promise<unknown> {
    let total = 0;
    const values: { labels: Record<string, string | number>; value: number; metricName: string }[] =
      this.#counts.map((count, i) => {
        total += count;
        return { labels: { le: this.#bounds[i] ?? '+Inf' }, value: total, metricName: `${this.name}_bucket` };
      });
    values.push({ labels: {}, value: this.#sum, metricName: `${this.name}_sum` });
    values.push({ labels: {}, value: total, metricName: `${this.name}_count` });
    return { name: this.name, help: this.#help, type: 'histogram', values, aggregator: 'sum' };
  }
}
