/**
 * The phi-accrual failure detector of Hayashibara, Défago, Yared and Katayama ("The φ accrual failure detector", SRDS
 * 2004): how surprising a silence is, as -log10 of the chance that a heartbeat comes later still, when the intervals of
 * the device are normally distributed. 1: one in ten, 8: one in a hundred million.
 *
 * Formula and parameters are those of Akka (akka-remote, PhiAccrualFailureDetector.scala, and reference.conf): the
 * logistic approximation of the normal distribution, threshold 8, deviation of at least 100 ms, an acceptable pause on
 * top of the mean. Akka monitors nodes whose interval it has configured; devices are not known beforehand. So the
 * pause and the least deviation grow with the device's own period, and the period is estimated so that neither bursts
 * nor pauses move it (`rhythmOf`).
 */

export const DEFAULT_THRESHOLD = 8;
/** Intervals that a device is judged by; Akka keeps 200 to 1,000. */
export const HISTORY = 64;
/** With fewer intervals a device is not judged. */
export const ENOUGH = 4;

const MIN_DEVIATION_MS = 100;
/** Of the period. A device that keeps a period, with whatever jitter, is judged within these. */
const MIN_DEVIATION = 1 / 4;
const MAX_DEVIATION = 0.3;
/** Of the period. A device that deviates by more keeps none: long intervals are no pauses, they count in full. */
const IRREGULAR = 0.5;
/** Periods that may be missing before silence counts as silence. */
const ACCEPTABLE_PAUSE = 2;
/** Intervals at which the deviation is doubled for being few. */
const FEW = 4;
/** Share of a normal distribution below its mean minus one deviation. */
const ONE_BELOW = 0.1587;

/** How a device is usually heard, milliseconds. */
export interface Rhythm {
  readonly period: number;
  readonly deviation: number;
}

/**
 * Period and deviation of a list of intervals, which it sorts.
 *
 * The period is a median in which an interval counts by its length: what matters is the interval that a random moment
 * falls into, so ten messages at once every minute are a period of a minute. Above the interval that a quarter of the
 * time is spent below, all count the same, so pauses count once each and not by their length. The deviation is taken
 * from the side that pauses do not touch. With few intervals it is larger, as Akka's is before it knows a node.
 * @param intervals milliseconds, at least 1 each; not empty; sorted in place
 */
export function rhythmOf(intervals: Float64Array): Rhythm {
  intervals.sort();
  const most = weightedQuantile(intervals, 0.25, Number.POSITIVE_INFINITY);
  const period = weightedQuantile(intervals, 0.5, most);
  const below = (limit: number, median: number): number =>
    1 - weightedQuantile(intervals, ONE_BELOW, limit) / median;
  const share = below(most, period);
  if (share > IRREGULAR) {
    const median = weightedQuantile(intervals, 0.5, Number.POSITIVE_INFINITY);
    const own = Math.max(MIN_DEVIATION, below(Number.POSITIVE_INFINITY, median));
    return { period: median, deviation: Math.max(MIN_DEVIATION_MS, own * median) };
  }
  const bounded = Math.min(MAX_DEVIATION, Math.max(MIN_DEVIATION, share));
  const deviation = Math.max(MIN_DEVIATION_MS, bounded * period) * (1 + FEW / intervals.length);
  return { period, deviation };
}

/** The value below which `share` of the weight lies; a value weighs as much as it is, at most `most`. */
function weightedQuantile(sorted: Float64Array, share: number, most: number): number {
  let total = 0;
  for (const value of sorted) total += Math.min(value, most);
  let below = 0;
  for (const value of sorted) {
    below += Math.min(value, most);
    if (below >= share * total) return value;
  }
  return sorted.at(-1) as number;
}

/** φ of a silence of `silent` milliseconds; 0 or more, and finite. */
export function phi(silent: number, { period, deviation }: Rhythm): number {
  const y = (silent - (1 + ACCEPTABLE_PAUSE) * period) / deviation;
  // 1 - F(y) = e / (1 + e) with e = exp(-x), so φ = log10(1 + exp(x)); beyond 30 it is x, and exp may overflow
  const x = y * (1.5976 + 0.070566 * y * y);
  return x > 30 ? x / Math.LN10 : Math.log1p(Math.exp(x)) / Math.LN10;
}

/** Deviations beyond mean and pause at which φ reaches `threshold`. */
export function deviationsFor(threshold: number): number {
  const x = Math.log(Math.expm1(threshold * Math.LN10));
  // y³ + py = q has one real root, by Cardano
  const p = 1.5976 / 0.070566 / 3;
  const q = x / 0.070566 / 2;
  const root = Math.sqrt(q * q + p * p * p);
  return Math.cbrt(q + root) + Math.cbrt(q - root);
}

/** Milliseconds of silence after which φ reaches the threshold of `deviations` (from `deviationsFor`). */
export function silenceFor(deviations: number, { period, deviation }: Rhythm): number {
  return (1 + ACCEPTABLE_PAUSE) * period + deviations * deviation;
}
