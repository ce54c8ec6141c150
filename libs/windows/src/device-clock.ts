import { grown } from './device-columns.ts';

/** Where a device's clock stands against the edge's. */
export interface ClockEstimate {
  /** Device minus edge, milliseconds; positive: the device's clock is ahead. */
  readonly offsetMs: number;
  /** The true offset lies within this many milliseconds of `offsetMs`, as long as the assumptions of `DeviceClocks` hold. */
  readonly errorMs: number;
  /** Milliseconds that the device's clock gains in 10^6; negative: it loses. */
  readonly driftPpm: number;
  readonly driftErrorPpm: number;
  /** Arrival of the newest message in the estimate, epoch milliseconds. */
  readonly at: number;
}

/** What a restart needs of one clock. Milliseconds; `slots` holds time and difference of each minimum, from `ref` on. */
export interface ClockState {
  readonly ref: readonly [at: number, difference: number];
  readonly slots: readonly number[];
  readonly size: number;
  readonly count: number;
  readonly lowest: readonly [at: number, difference: number] | null;
  readonly level: number;
  readonly total: number;
  readonly last: number;
  readonly stray: readonly [count: number, difference: number, since: number] | null;
  readonly steps: number;
}

const SLOTS = 12;
/** A window reaches over this time at least, so that a drift shows ... */
const SPAN_MS = 1_500_000;
/** ... and each slot over this many messages, so that its fastest one was fast. */
const SLOT_MESSAGES = 128;
const MIN_MESSAGES = 16;
/** Further off than this a message is a backlog or the clock was set: delays of live messages do not differ as much. */
const FAR_MS = 3_000;
/** So many messages in a row, this close together in their difference, say that the clock was set. */
const STEP_MESSAGES = 8;
const STEP_SPREAD_MS = 2_500;
/** A clock that was set back looks like a backlog; but a backlog that drains does not keep its age for so long. */
const SET_BACK_MS = 60_000;
/** Quartz stays within 100 ppm; one drift in three is taken to exceed 50 ppm before anything is measured. */
const MAX_DRIFT = 250e-6;
const USUAL_DRIFT = 50e-6;
/** Temperature moves a drift about: allowed for over the length of the window. */
const WANDER = 1e-6;
/** The part of the delay that every message has cannot be told from an offset by one who sees one direction only. */
const FLOOR_MS = 50;
const UNSEEN_MS = 2_000;
const UNSEEN_MESSAGES = 50;

/**
 * Offset and drift of device clocks from (arrival, device time) pairs, one column per figure: 170 bytes and about
 * 20 ns a message for each device, whatever its rate.
 *
 * arrival - device time = delay - offset, and no delay is negative: the line of the true offset runs below all pairs
 * and touches the fastest ones. It is found as in Moon, Skelly, Towsley, "Estimation and removal of clock skew from
 * network delay measurements" (INFOCOM 1999): of all lines below the pairs the one nearest to them, which is the edge
 * of their lower convex hull above the mean of their times. Instead of all pairs the window holds the lowest pair of
 * each of at most 12 slots; full slots are merged two by two until they hold 128 messages and reach over 25 minutes, then
 * the oldest goes. A slope that the spread of the minima cannot support is drawn towards zero (as a Gaussian prior of
 * 50 ppm does).
 *
 * The bound assumes that live delays lie within 2 s, that some messages arrive within 50 ms of the shortest possible
 * way, and that the drift is steady over the window. It is statistical: it follows from the spread of the minima.
 *
 * Messages more than 3 s above the line (a backlog sent after an offline time) do not enter. When eight in a row keep
 * the same distance, below the line at once, above it for a minute, the clock was set and the window begins anew. A
 * smaller step widens the bound until the window has passed it.
 */
export class DeviceClocks {
  private slots = new Float32Array(0);
  private refAt = new Float64Array(0);
  private refDifference = new Float64Array(0);
  private used = new Uint8Array(0);
  private size = new Uint32Array(0);
  private count = new Uint32Array(0);
  private lowAt = new Float64Array(0);
  private low = new Float64Array(0);
  private level = new Float64Array(0);
  private total = new Uint32Array(0);
  private last = new Float64Array(0);
  private strays = new Uint8Array(0);
  private stray = new Float64Array(0);
  private straySince = new Float64Array(0);
  private stepped = new Uint32Array(0);

  /** Makes room for the devices 0 to `capacity - 1`. */
  grow(capacity: number): void {
    this.slots = grown(this.slots, capacity * SLOTS * 2);
    for (const name of FIGURES) this[name] = grown(this[name] as Float64Array<ArrayBuffer>, capacity);
    for (const name of COUNTS) this[name] = grown(this[name] as Uint32Array<ArrayBuffer>, capacity);
    this.used = grown(this.used, capacity);
    this.strays = grown(this.strays, capacity);
  }

  /** Times that device `i` was found to have set its clock. */
  steps(i: number): number {
    return this.stepped[i] as number;
  }

  /** Takes in one message of device `i`: its arrival and its newest device time, epoch milliseconds. */
  observe(i: number, at: number, ts: number): void {
    const difference = at - ts;
    if (this.total[i] === 0) this.begin(i, at, difference);
    const level = this.level[i] as number;
    if (difference > level + FAR_MS || difference < level - FAR_MS) {
      if (!this.isStep(i, at, difference, difference > level)) return;
      if ((this.total[i] as number) >= MIN_MESSAGES) this.stepped[i] = (this.stepped[i] as number) + 1;
      this.begin(i, at, difference);
    }
    this.strays[i] = 0;
    if (at > (this.last[i] as number)) this.last[i] = at;
    if (difference < (this.low[i] as number)) {
      this.low[i] = difference;
      this.lowAt[i] = at;
      if (difference < level) this.level[i] = difference;
    }
    if ((this.total[i] as number) < 0xffff_ffff) this.total[i] = (this.total[i] as number) + 1;
    const count = (this.count[i] as number) + 1;
    this.count[i] = count;
    if (count >= (this.size[i] as number)) this.close(i, at);
  }

  private begin(i: number, at: number, difference: number): void {
    this.refAt[i] = at;
    this.refDifference[i] = difference;
    this.used[i] = 0;
    this.size[i] = 1;
    this.count[i] = 0;
    this.low[i] = Number.POSITIVE_INFINITY;
    this.level[i] = difference;
    this.total[i] = 0;
    this.last[i] = at;
  }

  private isStep(i: number, at: number, difference: number, isBehind: boolean): boolean {
    const strays = this.strays[i] as number;
    if (strays === 0 || Math.abs(difference - (this.stray[i] as number)) > STEP_SPREAD_MS) {
      this.strays[i] = 1;
      this.stray[i] = difference;
      this.straySince[i] = at;
      return false;
    }
    if (strays < STEP_MESSAGES) this.strays[i] = strays + 1;
    if (strays + 1 < STEP_MESSAGES) return false;
    return !isBehind || at - (this.straySince[i] as number) >= SET_BACK_MS;
  }

  /** Ends the slot being filled. */
  private close(i: number, at: number): void {
    const { slots } = this;
    const first = i * SLOTS * 2;
    let used = this.used[i] as number;
    slots[first + used * 2] = (this.lowAt[i] as number) - (this.refAt[i] as number);
    slots[first + used * 2 + 1] = (this.low[i] as number) - (this.refDifference[i] as number);
    used++;
    this.level[i] = this.low[i] as number;
    this.low[i] = Number.POSITIVE_INFINITY;
    this.count[i] = 0;
    if (used === SLOTS) {
      const reach = at - (this.refAt[i] as number) - (slots[first] as number);
      if (reach < SPAN_MS || (this.size[i] as number) < SLOT_MESSAGES) {
        used = this.mergePairs(first);
        this.size[i] = (this.size[i] as number) * 2;
      } else {
        used--;
        slots.copyWithin(first, first + 2, first + SLOTS * 2);
        this.rebase(i, used);
      }
    }
    this.used[i] = used;
  }

  private mergePairs(first: number): number {
    const { slots } = this;
    for (let pair = 0; pair < SLOTS / 2; pair++) {
      const left = first + pair * 4;
      const lower = (slots[left + 1] as number) <= (slots[left + 3] as number) ? left : left + 2;
      slots.copyWithin(first + pair * 2, lower, lower + 2);
    }
    return SLOTS / 2;
  }

  /** Counts from the oldest slot on: what 32 bits hold stays exact to the millisecond. */
  private rebase(i: number, used: number): void {
    const { slots } = this;
    const first = i * SLOTS * 2;
    const at = slots[first] as number;
    const difference = slots[first + 1] as number;
    for (let k = first; k < first + used * 2; k += 2) {
      slots[k] = (slots[k] as number) - at;
      slots[k + 1] = (slots[k + 1] as number) - difference;
    }
    this.refAt[i] = (this.refAt[i] as number) + at;
    this.refDifference[i] = (this.refDifference[i] as number) + difference;
  }

  /** The offset at the newest message of device `i`; null before the 16th. */
  estimate(i: number): ClockEstimate | null {
    const total = this.total[i] as number;
    if (total < MIN_MESSAGES) return null;
    const now = this.last[i] as number;
    const minima = this.minima(i, now);
    const open = { t: (this.lowAt[i] as number) - now, d: this.low[i] as number };
    // The slot being filled always bounds the line from above, but says little of the spread while it is new.
    if ((this.count[i] as number) * 2 >= (this.size[i] as number)) minima.push(open);
    const span = Math.max(1, -(minima[0] as Pair).t);
    const lineOf = (slope: number): Line => lineBelow(minima, Number.isFinite(open.d) ? open : null, slope);
    const steepest = hullSlope(minima);
    const deviation = (2 * (lineOf(steepest).spread + 1)) / span;
    const weight = USUAL_DRIFT ** 2 / (USUAL_DRIFT ** 2 + deviation ** 2);
    const slope = steepest * weight;
    const slopeError = 2.5 * deviation * Math.sqrt(weight);
    const { value, spread, lift } = lineOf(slope);
    const unseen = FLOOR_MS + UNSEEN_MS * Math.exp(-total / UNSEEN_MESSAGES);
    return {
      offsetMs: -value,
      errorMs: unseen + 2.5 * spread + lift + (slopeError / 2 + WANDER) * span,
      driftPpm: -slope * 1e6,
      driftErrorPpm: (slopeError + WANDER) * 1e6,
      at: now,
    };
  }

  /** The lowest pairs of the slots, oldest first; times relative to `now`. What lies far above came late (a backlog). */
  private minima(i: number, now: number): Pair[] {
    const first = i * SLOTS * 2;
    const used = this.used[i] as number;
    const found: Pair[] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (let k = first; k < first + used * 2; k += 2) {
      const t = (this.slots[k] as number) + (this.refAt[i] as number) - now;
      const d = (this.slots[k + 1] as number) + (this.refDifference[i] as number);
      lowest = Math.min(lowest, d - MAX_DRIFT * t);
      found.push({ t, d });
    }
    // Two edges whose clocks differ may hand in arrivals that go back.
    found.sort((a, b) => a.t - b.t);
    return found.filter(({ t, d }) => d + MAX_DRIFT * t <= lowest + FAR_MS);
  }

  save(i: number): ClockState | null {
    if (this.total[i] === 0) return null;
    const first = i * SLOTS * 2;
    const low = this.low[i] as number;
    const strays = this.strays[i] as number;
    return {
      ref: [this.refAt[i] as number, this.refDifference[i] as number],
      slots: [...this.slots.subarray(first, first + (this.used[i] as number) * 2)],
      size: this.size[i] as number,
      count: this.count[i] as number,
      lowest: Number.isFinite(low) ? [this.lowAt[i] as number, low] : null,
      level: this.level[i] as number,
      total: this.total[i] as number,
      last: this.last[i] as number,
      stray: strays === 0 ? null : [strays, this.stray[i] as number, this.straySince[i] as number],
      steps: this.stepped[i] as number,
    };
  }

  restore(i: number, state: ClockState): void {
    this.refAt[i] = state.ref[0];
    this.refDifference[i] = state.ref[1];
    this.slots.set(state.slots, i * SLOTS * 2);
    this.used[i] = state.slots.length / 2;
    this.size[i] = state.size;
    this.count[i] = state.count;
    this.lowAt[i] = state.lowest?.[0] ?? 0;
    this.low[i] = state.lowest?.[1] ?? Number.POSITIVE_INFINITY;
    this.level[i] = state.level;
    this.total[i] = state.total;
    this.last[i] = state.last;
    this.strays[i] = state.stray?.[0] ?? 0;
    this.stray[i] = state.stray?.[1] ?? 0;
    this.straySince[i] = state.stray?.[2] ?? 0;
    this.stepped[i] = state.steps;
  }
}

const FIGURES = ['refAt', 'refDifference', 'lowAt', 'low', 'level', 'last', 'stray', 'straySince'] as const;
const COUNTS = ['size', 'count', 'total', 'stepped'] as const;

/** Time relative to the newest message, and arrival minus device time; milliseconds. */
interface Pair {
  readonly t: number;
  readonly d: number;
}
interface Line {
  /** At the newest message. */
  readonly value: number;
  /** Mean distance of the minima above it. */
  readonly spread: number;
  /** Distance of the nearest of the newest three: as much may the clock have been set back. */
  readonly lift: number;
}

/** The highest line of this slope below all pairs. */
function lineBelow(minima: readonly Pair[], open: Pair | null, slope: number): Line {
  let value = open === null ? Number.POSITIVE_INFINITY : open.d - slope * open.t;
  let sum = 0;
  let newest = Number.POSITIVE_INFINITY;
  for (let k = 0; k < minima.length; k++) {
    const { t, d } = minima[k] as Pair;
    const above = d - slope * t;
    sum += above;
    if (above < value) value = above;
    if (k >= minima.length - 3 && above < newest) newest = above;
  }
  return { value, spread: sum / minima.length - value, lift: newest - value };
}

/** Slope of the lower convex hull's edge above the mean time; pairs by growing time. */
function hullSlope(pairs: readonly Pair[]): number {
  const hull: Pair[] = [];
  let mean = 0;
  for (const pair of pairs) {
    mean += pair.t / pairs.length;
    while (hull.length >= 2) {
      const a = hull[hull.length - 2] as Pair;
      const b = hull[hull.length - 1] as Pair;
      if ((b.d - a.d) * (pair.t - a.t) < (pair.d - a.d) * (b.t - a.t)) break;
      hull.pop();
    }
    hull.push(pair);
  }
  for (let k = 1; k < hull.length; k++) {
    const a = hull[k - 1] as Pair;
    const b = hull[k] as Pair;
    if (mean > b.t) continue;
    const slope = (b.d - a.d) / (b.t - a.t);
    return Math.max(-MAX_DRIFT, Math.min(MAX_DRIFT, slope));
  }
  return 0;
}
