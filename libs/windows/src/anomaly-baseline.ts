import { medianOf, RollingSample } from './anomaly-rolling.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
/** Makes the MAD of normal values their standard deviation: 1 / Φ⁻¹(3/4). */
export const MAD_TO_SIGMA = 1.4826;

/** What is usual at an hour of a cycle: the median of the last values that the same hour had. */
class Season {
  private readonly hours: number;
  private readonly fewest: number;
  private readonly reachMs: number;
  private readonly slots: { readonly ts: number; readonly value: number }[][];

  /**
   * @param hours length of the cycle: 24 or 168, UTC
   * @param kept cycles that are looked back on
   * @param fewest cycles that must be known
   */
  constructor(hours: number, kept: number, fewest: number) {
    this.hours = hours;
    this.fewest = fewest;
    // Half an hour more: the value of the oldest cycle stands at the end of its hour.
    this.reachMs = kept * hours * HOUR_MS + HOUR_MS / 2;
    this.slots = Array.from({ length: hours }, () => []);
  }

  add(hour: number, value: number): void {
    const slot = this.slots[hour % this.hours] as { ts: number; value: number }[];
    const ts = (hour + 1) * HOUR_MS;
    slot.push({ ts, value });
    while ((slot[0]?.ts ?? ts) < ts - this.reachMs) slot.shift();
  }

  /** NaN when too few are known. */
  at(hour: number): number {
    const oldest = (hour + 1) * HOUR_MS - this.reachMs;
    const known = (this.slots[hour % this.hours] ?? []).filter(({ ts }) => ts >= oldest);
    return known.length < this.fewest ? Number.NaN : medianOf(known.map(({ value }) => value));
  }
}

/** Where a value was expected, and how far off is usual. */
export interface Expectation {
  readonly center: number;
  /** In units of the value, as a standard deviation. */
  readonly scale: number;
}

export interface BaselineOptions {
  /** How far back median and MAD look. */
  readonly horizonMs: number;
  /** Values that must be known. */
  readonly fewest: number;
  /** A value is learnt only when it is this old: averages that overlap the present one say nothing. */
  readonly delayMs: number;
  readonly days: number;
  readonly weeks: number;
}

/**
 * Rolling median and MAD of a quantity three times: as it is, less what is usual at the hour of the day, less what is
 * usual at the hour of the week. The one with the smallest MAD, which explains the series best, speaks.
 */
export class Baseline {
  private readonly seasons: readonly Season[];
  private readonly samples: readonly RollingSample[];
  private readonly fewest: number;
  private readonly delayMs: number;
  private readonly waiting: { readonly ts: number; readonly values: readonly number[] }[] = [];
  private hour = Number.NaN;
  /** Of this hour, for each sample; NaN when not known. */
  private usual: number[] = [0, Number.NaN, Number.NaN];

  constructor(options: BaselineOptions) {
    this.seasons = [new Season(24, options.days, 3), new Season(168, options.weeks, 1)];
    this.samples = [0, 1, 2].map(() => new RollingSample(options.horizonMs));
    this.fewest = options.fewest;
    this.delayMs = options.delayMs;
  }

  /** Null while too little is known. */
  expect(ts: number): Expectation | null {
    this.enter(ts);
    const all = (this.samples[0] as RollingSample).size;
    let best: Expectation | null = null;
    this.samples.forEach((sample, i) => {
      sample.forget(ts);
      const usual = this.usual[i] as number;
      // A season that has just been found is not judged by its first hours.
      if (Number.isNaN(usual) || sample.size < Math.max(this.fewest, all / 4)) return;
      const scale = MAD_TO_SIGMA * sample.mad();
      if (best === null || scale < best.scale) best = { center: usual + sample.median(), scale };
    });
    return best;
  }

  /** @param ts not before the last one */
  learn(ts: number, value: number): void {
    this.enter(ts);
    this.waiting.push({ ts, values: this.usual.map((usual) => value - usual) });
    while (this.waiting.length > 0 && (this.waiting[0] as { ts: number }).ts <= ts - this.delayMs) {
      const { ts: at, values } = this.waiting.shift() as (typeof this.waiting)[number];
      values.forEach((one, i) => {
        if (!Number.isNaN(one)) this.samples[i]?.add(at, one);
      });
    }
  }

  /** @param value of the whole hour (hours since the epoch) */
  learnHour(hour: number, value: number): void {
    for (const season of this.seasons) season.add(hour, value);
    this.hour = Number.NaN;
  }

  private enter(ts: number): void {
    const hour = Math.floor(ts / HOUR_MS);
    if (hour === this.hour) return;
    this.hour = hour;
    this.usual = [0, ...this.seasons.map((season) => season.at(hour))];
  }
}
