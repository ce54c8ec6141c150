/** Samples of a /metrics page: `name{labels}` as printed → value. */
export type Samples = ReadonlyMap<string, number>;

const DEADLINE_MS = 5_000;

export async function scrape(url: string): Promise<Samples> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(DEADLINE_MS) });
  const samples = new Map<string, number>();
  for (const line of (await response.text()).split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const space = line.lastIndexOf(' ');
    samples.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return samples;
}

/** Sum over all samples of `name` that carry each of `labels` (`outcome="stored"`). */
export function sumOf(samples: Samples, name: string, ...labels: readonly string[]): number {
  let sum = 0;
  for (const [key, value] of samples) {
    if (key !== name && !key.startsWith(`${name}{`)) continue;
    if (labels.every((label) => key.includes(label))) sum += value;
  }
  return sum;
}

/**
 * A quantile of a histogram's growth between two scrapes, by linear interpolation inside its bucket as Prometheus'
 * `histogram_quantile` does it; null when nothing was observed.
 */
export function quantileOf(
  before: Samples,
  after: Samples,
  name: string,
  label: string,
  q: number,
): number | null {
  const bounds: { le: number; count: number }[] = [];
  for (const [key, value] of after) {
    if (!key.startsWith(`${name}_bucket{`) || !key.includes(label)) continue;
    const le = /le="([^"]+)"/.exec(key)?.[1];
    if (le === undefined) continue;
    bounds.push({
      le: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le),
      count: value - (before.get(key) ?? 0),
    });
  }
  bounds.sort((a, b) => a.le - b.le);
  const total = bounds.at(-1)?.count ?? 0;
  if (total === 0) return null;
  const rank = q * total;
  let below = { le: 0, count: 0 };
  for (const bound of bounds) {
    if (bound.count >= rank) {
      if (!Number.isFinite(bound.le)) return below.le;
      const share = bound.count === below.count ? 1 : (rank - below.count) / (bound.count - below.count);
      return below.le + (bound.le - below.le) * share;
    }
    below = bound;
  }
  return below.le;
}
