import { Baseline, DAY_MS, type Expectation, HOUR_MS, MINUTE_MS } from './anomaly-baseline.ts';
import { RollingSample } from './anomaly-rolling.ts';
import { Threshold } from './anomaly-threshold.ts';
import { meanOf } from './window.ts';

/**
 * The parameters, the same for every series; infra/decisions/0009-anomaly-score.md says why each has its value.
 */
export const ANOMALY = {
  /** One reading of each slot is learnt. */
  slotMs: MINUTE_MS,
  /** How far back the median and MAD of values look. */
  valueHorizonMs: 7 * DAY_MS,
  /** How far back the median and MAD of level and spread look. */
  slowHorizonMs: 28 * DAY_MS,
  /** The level is the mean of this long: a day, which has no hour of the day. */
  levelMs: DAY_MS,
  /** The spread is the mean step between neighbouring slots of this long. */
  spreadMs: 6 * HOUR_MS,
  /** Hours of level and spread that must be known: three days. */
  slowFewest: 72,
  /** Values that must be known. */
  valueFewest: 10,
  /** Days and weeks over which the same hour is looked up. */
  days: 7,
  weeks: 4,
  /** Scale of the level, at least this part of the scale of the values: a level among the usual values is no failure. */
  levelFloor: 1 / 3,
  /** Scale of the spread, in e-folds: changes of 10 % are usual. */
  spreadFloor: 0.1,
  /** B. Iglewicz, D. C. Hoaglin, "How to Detect and Handle Outliers", 1993. */
  minimumZ: 3.5,
  returnMs: 28 * DAY_MS,
  blocks: 28,
  /** Scale of the largest deviations of a day, at least this part of them: of some 300 values, and of a few averages. */
  valueGrowth: 0.1,
  slowGrowth: 0.2,
  /** An alarm ends when the score stayed below 1 for this long. */
  holdMs: DAY_MS,
} as const;
export type AnomalyParameters = { readonly [K in keyof typeof ANOMALY]: number };

/**
 * A score depends on nothing older: baselines of 28 days over seasons of 28 days, and thresholds over 28 days of such
 * scores. Scoring that begins this long before a reading gives the score that scoring from the first reading gives.
 */
export const ANOMALY_MEMORY_MS = 92 * DAY_MS;

/** Differences below this part of a value are taken for rounding. */
const RESOLUTION = 1e-6;
/** A spread below this part of the usual step is as good as none. */
const STILL = 0.01;
/** Larger deviations are not told apart. */
const LARGEST_Z = 1_000;
/** A level or spread needs half of its hours. */
const COVERAGE = 0.5;
/** A spread is of at least this many steps. */
const FEWEST_STEPS = 3;
const CAUSES = ['value', 'level', 'spread'] as const;

/** value: a reading far from where it was expected; level: the mean of the last day; spread: noise rose or vanished. */
export type AnomalyCause = (typeof CAUSES)[number];

export interface AnomalyScore {
  /** 1 and more is anomalous; null while too little is known. */
  readonly score: number | null;
  /** The cause with the largest score. */
  readonly cause: AnomalyCause | null;
  /** Where the value was expected; null while too little is known. */
  readonly expected: number | null;
  /** The value is anomalous further than this from `expected`; null while too little is known. */
  readonly tolerance: number | null;
  /** An alarm is open. */
  readonly alarm: boolean;
}

/** One episode: from the first anomalous reading to the last one before the score was quiet for `holdMs`. */
export interface AnomalyAlarm {
  readonly from: number;
  readonly to: number;
  /** What began it. */
  readonly cause: AnomalyCause;
  /** Largest score. */
  readonly peak: number;
}

interface Hour {
  readonly hour: number;
  readonly mean: number;
  /** Steps between neighbouring slots: sum of their sizes, and how many. */
  readonly moved: number;
  readonly steps: number;
}

/**
 * Scores the readings (or windows) of one series as they come, from earlier ones only. Three robust z-scores, each
 * against rolling median and MAD and the usual course of day and week (`Baseline`), each divided by the deviation that
 * this series exceeds once in four weeks by itself (`Threshold`); the largest is the score.
 *
 * Deterministic: a function of the readings in the order given. Memory is bounded by slots and hours (about 0.5 MB at a
 * reading a minute or faster, 0.1 MB at one in five minutes).
 */
export class AnomalyDetector {
  private readonly parameters: AnomalyParameters;
  private readonly value: Baseline;
  private readonly level: Baseline;
  private readonly spread: Baseline;
  private readonly thresholds: Readonly<Record<AnomalyCause, Threshold>>;
  private readonly steps: RollingSample;
  private newest = Number.NEGATIVE_INFINITY;
  private slot = Number.NaN;
  private slotSum = 0;
  private slotCount = 0;
  /** The first reading of the last slot. */
  private sample = Number.NaN;
  private sampleAt = Number.NEGATIVE_INFINITY;
  private hour = Number.NaN;
  private hourSum = 0;
  private hourSlots = 0;
  private hourMoved = 0;
  private hourSteps = 0;
  private readonly hours: Hour[] = [];
  /** First hour that no gap as long as a level lies behind. */
  private since = 0;
  /** z-scores at the end of the last whole hour. */
  private slow: { readonly at: number; readonly level: number | null; readonly spread: number | null } = {
    at: Number.NEGATIVE_INFINITY,
    level: null,
    spread: null,
  };
  private episode: AnomalyAlarm | null = null;

  constructor(parameters: AnomalyParameters = ANOMALY) {
    this.parameters = parameters;
    const { days, weeks, valueHorizonMs, slowHorizonMs, slowFewest, levelMs, spreadMs } = parameters;
    const slow = { horizonMs: slowHorizonMs, fewest: slowFewest, days, weeks };
    this.value = new Baseline({
      horizonMs: valueHorizonMs,
      fewest: parameters.valueFewest,
      delayMs: 0,
      days,
      weeks,
    });
    this.level = new Baseline({ ...slow, delayMs: levelMs });
    this.spread = new Baseline({ ...slow, delayMs: spreadMs });
    const { minimumZ, returnMs, blocks, valueGrowth, slowGrowth } = parameters;
    const usual = { minimumZ, returnMs, blocks };
    this.thresholds = {
      value: new Threshold({ ...usual, of: 'values', growth: valueGrowth }),
      level: new Threshold({ ...usual, of: 'averages', growth: slowGrowth }),
      spread: new Threshold({ ...usual, of: 'averages', growth: slowGrowth }),
    };
    this.steps = new RollingSample(valueHorizonMs);
  }

  /** The open episode. */
  get alarm(): AnomalyAlarm | null {
    return this.episode;
  }

  /**
   * Scores a reading, then learns from it. One that is not newer than the newest is scored against what is known now,
   * and neither learnt nor part of an alarm.
   * @param ts epoch milliseconds; of a window its start
   * @param value of a window its mean
   * @param low of a window its smallest value, so that a spike inside it is seen
   * @param high of a window its largest value
   */
  score(ts: number, value: number, low = value, high = value): AnomalyScore {
    const current = ts > this.newest;
    if (current) this.advance(ts);
    const at = this.newest;
    const expected = this.value.expect(at);
    const center = expected?.center ?? 0;
    const scale = Math.max(expected?.scale ?? 0, this.steps.medianAboveZero(), Math.abs(center) * RESOLUTION);
    const extreme = high - center < center - low ? low : high;
    const fresh = at - this.slow.at <= this.parameters.spreadMs;
    const z: Readonly<Record<AnomalyCause, number | null>> = {
      value: expected === null ? null : deviation(extreme, { center, scale }),
      level: fresh ? this.slow.level : null,
      spread: fresh ? this.slow.spread : null,
    };
    let score: number | null = null;
    let cause: AnomalyCause | null = null;
    for (const name of CAUSES) {
      const threshold = this.thresholds[name].at(at);
      const one = z[name];
      if (one === null || threshold === Number.POSITIVE_INFINITY) continue;
      if (score !== null && one / threshold <= score) continue;
      score = one / threshold;
      cause = name;
    }
    const tolerance = this.thresholds.value.at(at) * scale;
    if (current) {
      if (z.value !== null) this.thresholds.value.add(ts, z.value);
      this.learn(ts, value, extreme);
      this.follow(ts, score, cause);
    }
    return {
      score,
      cause,
      expected: expected === null ? null : center,
      tolerance: expected === null || !Number.isFinite(tolerance) ? null : tolerance,
      alarm: this.episode !== null,
    };
  }

  /** Ends the slot and the hour that `ts` has left. */
  private advance(ts: number): void {
    this.newest = ts;
    const slot = Math.floor(ts / this.parameters.slotMs);
    const hour = Math.floor(ts / HOUR_MS);
    if (slot !== this.slot) {
      this.endSlot();
      this.slot = slot;
    }
    if (hour !== this.hour) {
      if (this.hourSlots > 0) this.endHour();
      this.hour = hour;
    }
  }

  private endSlot(): void {
    if (this.slotCount === 0) return;
    this.hourSum += this.slotSum / this.slotCount;
    this.hourSlots++;
    this.slotSum = 0;
    this.slotCount = 0;
  }

  private endHour(): void {
    const { hour, hours } = this;
    const { levelMs, spreadMs, levelFloor, spreadFloor } = this.parameters;
    const mean = this.hourSum / this.hourSlots;
    this.value.learnHour(hour, mean);
    if (hour - (hours.at(-1)?.hour ?? Number.NEGATIVE_INFINITY) > levelMs / HOUR_MS) this.since = hour;
    hours.push({ hour, mean, moved: this.hourMoved, steps: this.hourSteps });
    this.hourSum = this.hourSlots = this.hourMoved = this.hourSteps = 0;
    while ((hours[0] as Hour).hour <= hour - (2 * levelMs) / HOUR_MS) hours.shift();

    const own = this.value.expect((hour + 1) * HOUR_MS - 1)?.scale ?? 0;
    const valueScale = Math.max(own, this.steps.medianAboveZero());
    const level = this.levelAt(hour, levelMs / HOUR_MS);
    const recent = hours.filter((one) => one.hour > hour - spreadMs / HOUR_MS);
    const steps = sum(recent, 'steps');
    const still = Math.max(
      STILL * this.steps.medianAboveZero(),
      Math.abs(mean) * RESOLUTION,
      Number.MIN_VALUE,
    );
    const spread =
      recent.length < (COVERAGE * spreadMs) / HOUR_MS || steps < FEWEST_STEPS
        ? null
        : Math.log(Math.max(sum(recent, 'moved') / steps, still));
    this.slow = {
      at: (hour + 1) * HOUR_MS,
      level: this.slowScore('level', level, levelFloor * valueScale),
      spread: this.slowScore('spread', spread, spreadFloor),
    };
  }

  /**
   * Mean of the last `length` hours. A missing one counts as it was that long before, so that a gap in the night does
   * not make a warm day.
   */
  private levelAt(hour: number, length: number): number | null {
    if (hour - this.since + 1 < length) return null;
    const means = new Map<number, number>();
    for (const one of this.hours) means.set(((one.hour % length) + length) % length, one.mean);
    if (means.size < COVERAGE * length) return null;
    let total = 0;
    for (const mean of means.values()) total += mean;
    return total / means.size;
  }

  /** Scores the level or spread of the hours up to this one, then learns it. */
  private slowScore(name: 'level' | 'spread', value: number | null, floor: number): number | null {
    if (value === null) return null;
    const baseline = this[name];
    // Still within the hour, for blocks and seasons.
    const ts = (this.hour + 1) * HOUR_MS - 1;
    const expected = baseline.expect(ts);
    baseline.learn(ts, value);
    baseline.learnHour(this.hour, value);
    if (expected === null) return null;
    const { center, scale } = expected;
    const z = deviation(value, { center, scale: Math.max(scale, floor, Math.abs(center) * RESOLUTION) });
    this.thresholds[name].add(ts, z);
    return z;
  }

  private learn(ts: number, value: number, extreme: number): void {
    if (this.slotCount === 0) {
      this.value.learn(ts, extreme);
      // A step over a gap says nothing about the spread.
      if (ts - this.sampleAt <= this.parameters.spreadMs) {
        const step = Math.abs(value - this.sample);
        this.steps.add(ts, step);
        this.hourMoved += step;
        this.hourSteps++;
      }
      this.sample = value;
      this.sampleAt = ts;
    }
    this.slotSum += value;
    this.slotCount++;
  }

  private follow(ts: number, score: number | null, cause: AnomalyCause | null): void {
    if (this.episode !== null && ts - this.episode.to > this.parameters.holdMs) this.episode = null;
    if (score === null || cause === null || score < 1) return;
    const { from, peak, cause: first } = this.episode ?? { from: ts, peak: 0, cause };
    this.episode = { from, to: ts, cause: first, peak: Math.max(peak, score) };
  }
}

function deviation(value: number, { center, scale }: Expectation): number {
  const distance = Math.abs(value - center);
  return distance === 0 ? 0 : Math.min(LARGEST_Z, distance / scale);
}

function sum(hours: readonly Hour[], key: 'mean' | 'moved' | 'steps'): number {
  return hours.reduce((total, hour) => total + hour[key], 0);
}

/** Scores a stored window, then learns from it. */
export function scoreWindow(
  detector: AnomalyDetector,
  window: {
    readonly start: number;
    readonly count: number;
    readonly sum: number;
    readonly min: number;
    readonly max: number;
  },
): AnomalyScore {
  return detector.score(window.start, meanOf(window), window.min, window.max);
}

/** A series that is scored as a whole. */
export interface AnomalySeries {
  readonly ts: number;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
}

/** Scores a series in event-time order, and lists its alarms. */
export function scoreSeries(
  series: Iterable<AnomalySeries>,
  parameters: AnomalyParameters = ANOMALY,
): { readonly scores: readonly AnomalyScore[]; readonly alarms: readonly AnomalyAlarm[] } {
  const detector = new AnomalyDetector(parameters);
  const scores: AnomalyScore[] = [];
  const alarms: AnomalyAlarm[] = [];
  for (const { ts, value, low, high } of series) {
    scores.push(detector.score(ts, value, low, high));
    const { alarm } = detector;
    if (alarm === null) continue;
    if (alarms.at(-1)?.from === alarm.from) alarms.pop();
    alarms.push(alarm);
  }
  return { scores, alarms };
}
