/** The next value of one metric at `ts` (epoch milliseconds). */
export type ValueModel = (ts: number) => number;
type Random = () => number;

const round = (value: number, digits: number): number => {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
};
/** Near enough to normal: the sum of four uniform draws, mean 0 and standard deviation 1. */
const normal = (random: Random): number => (random() + random() + random() + random() - 2) * Math.sqrt(3);

export interface SineOptions {
  readonly mean: number;
  readonly amplitude: number;
  readonly periodMs: number;
  /** Standard deviation of the noise. */
  readonly noise: number;
}
/** A daily or hourly course with noise. The phase is drawn once. */
export function sine(random: Random, { mean, amplitude, periodMs, noise }: SineOptions): ValueModel {
  const phase = random() * 2 * Math.PI;
  return (ts) =>
    round(mean + amplitude * Math.sin((2 * Math.PI * ts) / periodMs + phase) + noise * normal(random), 3);
}

export interface WalkOptions {
  readonly start: number;
  /** Standard deviation of one step. */
  readonly step: number;
  readonly min: number;
  readonly max: number;
}
/** A random walk that is reflected at its bounds. */
export function walk(random: Random, { start, step, min, max }: WalkOptions): ValueModel {
  let value = start;
  return () => {
    value += step * normal(random);
    if (value < min) value = Math.min(max, 2 * min - value);
    if (value > max) value = Math.max(min, 2 * max - value);
    return round(value, 3);
  };
}

export function constant(value: number): ValueModel {
  return () => value;
}

/** One value after the other, each for `holdMs`, by the time alone. */
export function steps(values: readonly number[], holdMs: number): ValueModel {
  return (ts) => values[Math.floor(ts / holdMs) % values.length] as number;
}

/** The values of a recording one by one, from the one at `from`, and then from the beginning. */
export function replayed(values: readonly number[], from: number): ValueModel {
  let at = from;
  return () => values[at++ % values.length] as number;
}
