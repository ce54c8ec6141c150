/** One sample of a metrics page. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of a metrics page by metric name. */
export class MetricsPage {
  readonly #samples: ReadonlyMap<string, readonly MetricSample[]>;

  constructor(samples: ReadonlyMap<string, readonly MetricSample[]>) {
    this.#samples = samples;
  }
  samples(name: string, labels: Readonly<Record<string, string>> = {}): readonly MetricSample[] {
    const wanted = Object.entries(labels);
    return (this.#samples.get(name) ?? []).filter((sample) =>
      wanted.every(([key, value]) => sample.labels[key] === value),
    );
  }
  /**
   * Sum over all samples with these labels. A metric that the page declares but has no such sample of has not
   * happened yet: 0. One that it does not know: null, because unknown is not zero.
   */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | null {
    if (!this.#samples.has(name)) return null;
    return this.samples(name, labels).reduce((sum, { value }) => sum + value, 0);
  }
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?/g;

/**
 * Reads the Prometheus text format 0.0.4; lines that are not samples are passed over.
 * @param wanted names to keep; all when absent
 */
export function parseMetrics(text: string, wanted?: ReadonlySet<string>): MetricsPage {
  const samples = new Map<string, MetricSample[]>();
  for (const line of text.split('\n')) {
    if (line.startsWith('# TYPE ')) {
      const name = line.split(' ')[2] ?? '';
      if (!samples.has(name)) samples.set(name, []);
    }
    if (line === '' || line.startsWith('#')) continue;
    if (wanted !== undefined && !wanted.has(line.slice(0, line.search(/[{ ]/)))) continue;
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, name = '', labelText = '', number = ''] = match;
    const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
    if (Number.isNaN(value)) continue;
    const labels: Record<string, string> = {};
    for (const [, key = '', raw = ''] of labelText.matchAll(LABEL)) {
      labels[key] = raw.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    }
    const list = samples.get(name);
    if (list === undefined) samples.set(name, [{ labels, value }]);
    else list.push({ labels, value });
  }
  return new MetricsPage(samples);
}
