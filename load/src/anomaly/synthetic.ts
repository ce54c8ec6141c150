import type { AnomalySeries } from '@weir/windows';
import { seeded, seedOf } from '../fleet/random.ts';
import type { Labelled } from './judge.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 7);

/** Kinds of series, by what makes them hard. */
export const SIGNALS = [
  'white noise',
  'daily course',
  'weekly course',
  'pink noise',
  'slow wandering',
  'heavy tails',
  'bursts',
  'quantised',
  'on and off',
  'trend',
  'constant',
  'random walk',
] as const;
export type Signal = (typeof SIGNALS)[number];
export const FAULTS = ['none', 'spike', 'shift', 'drift', 'stuck', 'noise'] as const;
export type Fault = (typeof FAULTS)[number];

export interface SyntheticOptions {
  readonly signal: Signal;
  readonly fault: Fault;
  readonly seed: number;
  readonly days: number;
  readonly stepMs: number;
}

/** A fault is as large as this many standard deviations of the noise of its signal. */
const SIZE: Readonly<Record<Signal, number>> = {
  'white noise': 1,
  'daily course': 1,
  'weekly course': 1.3,
  'pink noise': 1,
  'slow wandering': 1,
  'heavy tails': 3,
  bursts: 3,
  quantised: 1,
  'on and off': 4,
  trend: 1,
  constant: 1,
  'random walk': 1,
};

/**
 * A series of one kind with at most one fault, somewhere after 45 % of it, with gaps and jitter: the same for the same
 * seed. Faults last a day (a spike: one reading; noise: half a day; a drift: three), less in series of under 14 days.
 */
export function synthetic({ signal, fault, seed, days, stepMs }: SyntheticOptions): Labelled {
  const uniform = seeded(seedOf(seed, `${signal}/${fault}`));
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const next = source(signal, stepMs / (5 * MINUTE_MS), uniform, normal);
  const short = Math.min(1, days / 14);
  const span = days * DAY_MS;
  const at = START + span * (0.45 + 0.45 * uniform());
  const lasts = {
    none: 0,
    spike: stepMs,
    shift: DAY_MS,
    drift: 3 * DAY_MS,
    stuck: DAY_MS,
    noise: DAY_MS / 2,
  };
  const length = fault === 'spike' ? stepMs : lasts[fault] * short;
  const sign = uniform() < 0.5 ? -1 : 1;
  const size = SIZE[signal];

  const series: AnomalySeries[] = [];
  let held = Number.NaN;
  let gap = 0;
  for (let plain = START; plain < START + span; plain += stepMs) {
    const ts = plain + (stepMs >= MINUTE_MS ? Math.floor((uniform() - 0.5) * 0.2 * stepMs) : 0);
    let value = 50 + next(ts);
    if (ts >= at && ts < at + length) {
      if (fault === 'spike') value += sign * size * (signal === 'heavy tails' ? 14 : 12);
      if (fault === 'shift') value += sign * size * 5;
      if (fault === 'drift') value += (sign * size * 8 * (ts - at)) / length;
      if (fault === 'noise') value += size * 4 * normal();
      if (Number.isNaN(held)) held = value;
      if (fault === 'stuck') value = held;
    } else if (gap > 0) {
      gap -= stepMs;
      continue;
    } else if (uniform() < stepMs / (12 * DAY_MS)) {
      gap = (uniform() * DAY_MS * short) / 2;
    }
    series.push({ ts, value: signal === 'quantised' ? Math.round(value * 2) / 2 : value });
  }
  // The end of a shift, and the noise of the hours before, are seen a little later.
  const after = fault === 'drift' ? 0 : (DAY_MS * short) / 4;
  return {
    name: `${signal}, ${fault}`,
    series,
    windows: fault === 'none' ? [] : [[at - stepMs, at + length + after]],
  };
}

/** Values of a signal, one a step. @param k length of a step in units of five minutes */
function source(signal: Signal, k: number, uniform: () => number, normal: () => number) {
  const phase = uniform() * 2 * Math.PI;
  let slow = 0;
  let burst = 0;
  let on = 1;
  const wander = (memory: number): number => {
    const kept = memory ** k;
    slow = kept * slow + Math.sqrt(1 - kept * kept) * normal();
    return slow;
  };
  const course = (ts: number): number => {
    const angle = ((ts % DAY_MS) / DAY_MS) * 2 * Math.PI + phase;
    return 5 * (Math.sin(angle) + 0.3 * Math.sin(2 * angle + 1));
  };
  const values: Readonly<Record<Signal, (ts: number) => number>> = {
    'white noise': () => normal(),
    'daily course': (ts) => course(ts) + normal(),
    'weekly course': (ts) => course(ts) * (new Date(ts).getUTCDay() % 6 === 0 ? 0.3 : 1) + normal(),
    'pink noise': () => wander(0.99) + 0.2 * normal(),
    'slow wandering': () => wander(0.999) + 0.05 * normal(),
    // Student's t of three degrees of freedom.
    'heavy tails': () => normal() / Math.sqrt((normal() ** 2 + normal() ** 2 + normal() ** 2) / 3),
    bursts: () => {
      if (burst <= 0 && uniform() < (k * 2) / 288) burst = 1 + uniform() * 6;
      if (burst > 0) burst -= k;
      return normal() + (burst > 0 ? 4 + 2 * uniform() : 0);
    },
    quantised: (ts) => course(ts) + normal(),
    'on and off': () => {
      if (uniform() < k * 0.03) on = 1 - on;
      return on * 8 + normal();
    },
    trend: (ts) => course(ts) + ((ts - START) / DAY_MS) * 0.3 + normal(),
    constant: () => 0,
    'random walk': () => {
      slow += 0.05 * Math.sqrt(k) * normal();
      return slow + 0.1 * normal();
    },
  };
  return values[signal];
}
