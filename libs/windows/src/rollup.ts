import { addMoment, distances, ExactSum } from './exact-sum.ts';
import { encodeBuckets, maxEncodedBytes, Sketch } from './sketch.ts';
import type { Figures } from './window.ts';

/** A roll-up as it is stored. */
export interface RollupRow {
  /** Start of the window, epoch milliseconds. */
  readonly start: number;
  /** Device rows in it. */
  readonly devices: number;
  /** Readings in them. */
  readonly count: number;
  /** `ExactSum.encode` of the device rows' sums; the first is the rounded sum. */
  readonly sum: readonly number[];
  /** `ExactSum.encode` of their second moments (`addMoment`). */
  readonly moment: readonly number[];
  readonly min: number;
  readonly max: number;
  /** Of the earliest `firstTs`; of equal ones that of the smallest `site/device`. */
  readonly first: number;
  readonly firstTs: number;
  /** `site/device` */
  readonly firstDevice: string;
  /** Of the newest `lastTs`; of equal ones that of the largest `site/device`. */
  readonly last: number;
  readonly lastTs: number;
  readonly lastDevice: string;
  /** Encoded as a device row's. It is never collapsed: it holds every bucket that one of the device rows has. */
  readonly sketch: Buffer;
}

/** The figures of a roll-up, as people read them. Null: does not fit a 64-bit float (deviation: fewer than two). */
export interface RollupFigures {
  readonly start: number;
  readonly devices: number;
  readonly count: number;
  /** Of the device rows' sums, rounded once; null when one of them is 2^960 or more. */
  readonly sum: number | null;
  readonly mean: number | null;
  /** Of the sample (n - 1). */
  readonly stddev: number | null;
  readonly min: number;
  readonly max: number;
  readonly first: number;
  readonly firstTs: number;
  readonly firstDevice: string;
  readonly last: number;
  readonly lastTs: number;
  readonly lastDevice: string;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** A device row's owner, as roll-ups name it. */
export interface RollupMember {
  readonly site: string;
  readonly device: string;
}

/**
 * The rows of many devices for one window, added up; or a change of such a sum. Everything in it can be taken back
 * exactly or only grows, as the rows of a device only grow. So it depends on the last state of each device row alone,
 * and on no order: changes may be gathered, cut and merged at will and give the same bits.
 */
export class Rollup {
  readonly start: number;
  /** Device rows were rewritten: the change makes sense on top of a stored roll-up only. */
  rewrites = false;
  private devices = 0;
  private count = 0;
  private readonly sum = new ExactSum();
  private readonly moment = new ExactSum();
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;
  private first = 0;
  private firstTs = Number.POSITIVE_INFINITY;
  private firstDevice = '';
  private last = 0;
  private lastTs = Number.NEGATIVE_INFINITY;
  private lastDevice = '';
  private readonly buckets = new Map<number, number>();
  private sign: 1 | -1 = 1;
  private readonly addBucket = (key: number, count: number): void => {
    this.buckets.set(key, (this.buckets.get(key) ?? 0) + this.sign * count);
  };

  constructor(start: number) {
    this.start = start;
  }

  /** Puts a device row in, in the place of what it was; `previous` is null for a new one. */
  replace(member: RollupMember, window: Figures, previous: Figures | null): void {
    if (previous === null) {
      this.devices++;
    } else {
      this.rewrites = true;
      this.count -= previous.count;
      this.sum.subtract(previous.sum);
      addMoment(this.moment, -1, previous.count, previous.sum, previous.m2);
      this.sign = -1;
      previous.sketch?.forEach(this.addBucket);
    }
    this.count += window.count;
    this.sum.add(window.sum);
    addMoment(this.moment, 1, window.count, window.sum, window.m2);
    this.sign = 1;
    window.sketch?.forEach(this.addBucket);
    // Adding zero makes -0 a 0: of the two, the one that came first must not stay.
    if (window.min < this.min) this.min = window.min + 0;
    if (window.max > this.max) this.max = window.max + 0;
    if (window.firstTs <= this.firstTs)
      this.takeFirst(window.firstTs, window.first, `${member.site}/${member.device}`);
    if (window.lastTs >= this.lastTs)
      this.takeLast(window.lastTs, window.last, `${member.site}/${member.device}`);
  }

  /** Adds a change, or the roll-up of other devices. Of one device's row `other` holds the newer state. */
  merge(other: Rollup): void {
    this.devices += other.devices;
    this.count += other.count;
    this.sum.merge(other.sum);
    this.moment.merge(other.moment);
    this.sign = 1;
    other.buckets.forEach((count, key) => {
      this.addBucket(key, count);
    });
    if (other.min < this.min) this.min = other.min;
    if (other.max > this.max) this.max = other.max;
    this.takeFirst(other.firstTs, other.first, other.firstDevice);
    this.takeLast(other.lastTs, other.last, other.lastDevice);
  }

  private takeFirst(ts: number, value: number, device: string): void {
    if (ts > this.firstTs || (ts === this.firstTs && device > this.firstDevice)) return;
    this.first = value + 0;
    this.firstTs = ts;
    this.firstDevice = device;
  }

  private takeLast(ts: number, value: number, device: string): void {
    if (ts < this.lastTs || (ts === this.lastTs && device < this.lastDevice)) return;
    this.last = value + 0;
    this.lastTs = ts;
    this.lastDevice = device;
  }

  /** Throws a RangeError when more was taken back than there was: the stored rows were changed by something else. */
  encode(): RollupRow {
    const { start, devices, count, min, max, first, firstTs, firstDevice, last, lastTs, lastDevice } = this;
    if (devices <= 0 || count <= 0)
      throw new RangeError(`a roll-up holds ${count} readings of ${devices} devices`);
    const sketch = this.encodeSketch();
    const [sum, moment] = [this.sum.encode(), this.moment.encode()];
    return {
      ...{ start, devices, count, sum, moment, min, max },
      ...{ first, firstTs, firstDevice, last, lastTs, lastDevice, sketch },
    };
  }

  static decode(row: RollupRow): Rollup {
    const rollup = new Rollup(row.start);
    rollup.devices = row.devices;
    rollup.count = row.count;
    rollup.sum.merge(ExactSum.decode(row.sum));
    rollup.moment.merge(ExactSum.decode(row.moment));
    rollup.min = row.min;
    rollup.max = row.max;
    rollup.takeFirst(row.firstTs, row.first, row.firstDevice);
    rollup.takeLast(row.lastTs, row.last, row.lastDevice);
    Sketch.decode(row.sketch).forEach(rollup.addBucket);
    return rollup;
  }

  figures(): RollupFigures {
    const { start, devices, count, min, max, first, firstTs, firstDevice, last, lastTs, lastDevice } = this;
    const sketch = Sketch.decode(this.encodeSketch());
    const quantile = (q: number): number => Math.min(max, Math.max(min, sketch.quantile(q)));
    const sum = this.sum.value();
    const deviation = Math.sqrt(distances(count, this.sum, this.moment) / (count - 1));
    return {
      ...{ start, devices, count, min, max, first, firstTs, firstDevice, last, lastTs, lastDevice },
      sum: finite(sum),
      mean: finite(sum / count),
      stddev: count < 2 ? null : finite(deviation),
      ...{ p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) },
    };
  }

  private encodeSketch(): Buffer {
    const keys: number[] = [];
    for (const [key, count] of this.buckets) {
      if (count < 0) throw new RangeError(`a roll-up holds ${count} readings in one bucket of its sketch`);
      if (count > 0) keys.push(key);
    }
    keys.sort((a, b) => a - b);
    const counts = keys.map((key) => this.buckets.get(key) as number);
    const out = Buffer.allocUnsafe(maxEncodedBytes(keys.length));
    return Buffer.from(out.subarray(0, encodeBuckets(out, 0, keys, counts, keys.length)));
  }
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
