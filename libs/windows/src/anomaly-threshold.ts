import { DAY_MS, HOUR_MS, MINUTE_MS } from './anomaly-baseline.ts';
import { quartilesOf } from './anomaly-rolling.ts';

/** ln ln 4 - ln ln (4/3): distance of the quartiles of a standard Gumbel distribution. */
const GUMBEL_QUARTILES = Math.log(Math.log(4)) - Math.log(Math.log(4 / 3));

/** Blocks of time whose largest deviations are compared, longest first, and how many of them must be known. */
const LADDER = [
  { lengthMs: DAY_MS, fewest: 2 },
  { lengthMs: HOUR_MS, fewest: 12 },
  { lengthMs: 5 * MINUTE_MS, fewest: 12 },
] as const;
/** Smaller deviations are as good as none. */
const LEAST_Z = 0.1;
/** A day with fewer hours of readings says too little about the largest deviation of a day. */
const HOURS_OF_DAY = 12;

export interface ThresholdOptions {
  /** The threshold is never lower. */
  readonly minimumZ: number;
  /** Time in which a quiet series is expected to exceed it once. */
  readonly returnMs: number;
  /**
   * What the largest deviations are of: averages, which have a Gumbel distribution, or single values, whose tails may be
   * heavy (Fréchet): then their logarithms have one.
   */
  readonly of: 'averages' | 'values';
  /** Smallest scale of the distribution, as a part of the median of the largest deviations. */
  readonly growth: number;
  /** Blocks that are looked back on. */
  readonly blocks: number;
}

/**
 * The deviation that a series exceeds once in `returnMs` by itself: the return level of a Gumbel distribution fitted to
 * the largest deviations of the last days by median and quartiles, which a quarter of failed days cannot move far.
 * Before two days are known, of hours; before half a day, of five minutes.
 * Source: E. J. Gumbel, "Statistics of Extremes", 1958; block maxima as in S. Coles, "An Introduction to Statistical
 * Modeling of Extreme Values", 2001, chapter 3.
 */
export class Threshold {
  private readonly options: ThresholdOptions;
  private readonly rungs = LADDER.map((rung) => ({
    ...rung,
    block: Number.NaN,
    /** Null while nothing was added. */
    largest: null as number | null,
    closed: [] as { readonly block: number; readonly largest: number }[],
    /** The threshold that follows; null until it is asked for. */
    threshold: null as number | null,
  }));
  private readonly hoursOfDay = new Set<number>();

  constructor(options: ThresholdOptions) {
    this.options = options;
  }

  /** From blocks that ended before `ts`; Infinity while too few are known. */
  at(ts: number): number {
    this.enter(ts);
    const rung = this.rungs.find(({ closed, fewest }) => closed.length >= fewest);
    if (rung === undefined) return Number.POSITIVE_INFINITY;
    rung.threshold ??= this.compute(rung);
    return rung.threshold;
  }

  /** @param ts not before the last one */
  add(ts: number, z: number): void {
    this.enter(ts);
    for (const rung of this.rungs) rung.largest = Math.max(z, rung.largest ?? 0);
    this.hoursOfDay.add(Math.floor(ts / HOUR_MS));
  }

  private enter(ts: number): void {
    for (const rung of this.rungs) {
      const block = Math.floor(ts / rung.lengthMs);
      if (block === rung.block) continue;
      const whole = rung.lengthMs < DAY_MS || this.hoursOfDay.size >= HOURS_OF_DAY;
      if (rung.largest !== null && whole) rung.closed.push({ block: rung.block, largest: rung.largest });
      while (
        rung.closed.length > 0 &&
        (rung.closed[0] as { block: number }).block < block - this.options.blocks
      )
        rung.closed.shift();
      rung.block = block;
      rung.largest = null;
      if (rung.lengthMs === DAY_MS) this.hoursOfDay.clear();
      rung.threshold = null;
    }
  }

  private compute({ closed, lengthMs }: (typeof this.rungs)[number]): number {
    const { minimumZ, returnMs, growth, of } = this.options;
    const logarithms = of === 'values';
    const [lower, median, upper] = quartilesOf(
      closed.map(({ largest }) => (logarithms ? Math.log(Math.max(largest, LEAST_Z)) : largest)),
    );
    const scale = Math.max(logarithms ? growth : growth * median, (upper - lower) / GUMBEL_QUARTILES);
    const location = median + scale * Math.log(Math.LN2);
    const level = location - scale * Math.log(-Math.log(1 - lengthMs / returnMs));
    return Math.max(minimumZ, logarithms ? Math.exp(level) : level);
  }
}
