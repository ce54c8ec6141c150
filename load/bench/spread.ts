import { build, type Histogram } from 'hdr-histogram-js';
import { listOf, round } from './report.ts';

/** Latencies, milliseconds. */
export interface Spread {
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export const histogram = (): Histogram =>
  build({ highestTrackableValue: 600_000, numberOfSignificantValueDigits: 3 });

export function spread(of: Histogram): Spread {
  const at = (percentile: number): number => of.getValueAtPercentile(percentile);
  return { samples: of.totalCount, p50: at(50), p90: at(90), p99: at(99), max: of.maxValue };
}

export const spreadLine = ({ samples, p50, p90, p99, max }: Spread): string =>
  `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms (${round(samples, 0)} samples)`;

/** µs of CPU by process, and the share of other programs, 0 to 1. */
export const cpuLine = (used: Readonly<Record<string, number>>, foreign: number): string =>
  `${listOf(used)}; other programs ${round(foreign * 100, 0)} %`;
