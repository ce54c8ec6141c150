import { grown } from './device-table.ts';

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

// Figures in the row of a device. The origin of its slots' times and differences:
const REF_AT = 0;
const REF_DIFFERENCE = 1;
// the lowest pair of the slot being filled:
const LOW_AT = 2;
const LOW = 3;
// the lowest difference in that slot and the one before, and the newest arrival:
const LEVEL = 4;
const LAST = 5;
// of messages in a row that were far off, the difference and arrival of the first, and how many:
const STRAY = 6;
const STRAY_SINCE = 7;
const STRAYS = 8;
// full slots, messages of each, messages in the one being filled, messages since the beginning:
const USED = 9;
const SIZE = 10;
const COUNT = 11;
const TOTAL = 12;
// times that the clock was set:
const STEPPED = 13;
const WIDTH = 14;

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
 * Offset and drift of device clocks from (arrival, device time) pairs: 208 bytes a device, whatever its rate, and about
 * 20 ns a message.
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
  /** A row of `WIDTH` figures for each device. */
  private table = new Float64Array(0);

  /** Makes room for the devices 0 to `capacity - 1`. */
  grow(capacity: number): void {
    this.slots = grown(this.slots, capacity, Array<number>(SLOTS * 2).fill(0));
    this.table = grown(this.table, capacity, Array<number>(WIDTH).fill(0));
  }

  /** Times that device `i` was found to have set its clock. */
  steps(i: number): number {
    const { table } = this;
    const row = i * WIDTH;
    return table[row + STEPPED] as number;
  }

  /** Takes in one message of device `i`: its arrival and its newest device time, epoch milliseconds. */
  observe(i: number, at: number, ts: number): void {
    const { table } = this;
    const row = i * WIDTH;
    const difference = at - ts;
    if (table[row + TOTAL] === 0) this.begin(i, at, difference);
    const level = table[row + LEVEL] as number;
    if (difference > level + FAR_MS || difference < level - FAR_MS) {
      if (!this.isStep(i, at, difference, difference > level)) return;
      if ((table[row + TOTAL] as number) >= MIN_MESSAGES)
        table[row + STEPPED] = (table[row + STEPPED] as number) + 1;
      this.begin(i, at, difference);
    }
    table[row + STRAYS] = 0;
    if (at > (table[row + LAST] as number)) table[row + LAST] = at;
    if (difference < (table[row + LOW] as number)) {
      table[row + LOW] = difference;
      table[row + LOW_AT] = at;
      if (difference < level) table[row + LEVEL] = difference;
    }
    if ((table[row + TOTAL] as number) < 0xffff_ffff) table[row + TOTAL] = (table[row + TOTAL] as number) + 1;
    const count = (table[row + COUNT] as number) + 1;
    table[row + COUNT] = count;
    if (count >= (table[row + SIZE] as number)) this.close(i, at);
  }

  private begin(i: number, at: number, difference: number): void {
    const { table } = this;
    const row = i * WIDTH;
    table[row + REF_AT] = at;
    table[row + REF_DIFFERENCE] = difference;
    table[row + USED] = 0;
    table[row + SIZE] = 1;
    table[row + COUNT] = 0;
    table[row + LOW] = Number.POSITIVE_INFINITY;
    table[row + LEVEL] = difference;
    table[row + TOTAL] = 0;
    table[row + LAST] = at;
  }

  private isStep(i: number, at: number, difference: number, isBehind: boolean): boolean {
    const { table } = this;
    const row = i * WIDTH;
    const strays = table[row + STRAYS] as number;
    if (strays === 0 || Math.abs(difference - (table[row + STRAY] as number)) > STEP_SPREAD_MS) {
      table[row + STRAYS] = 1;
      table[row + STRAY] = difference;
      table[row + STRAY_SINCE] = at;
      return false;
    }
    if (strays < STEP_MESSAGES) table[row + STRAYS] = strays + 1;
    if (strays + 1 < STEP_MESSAGES) return false;
    return !isBehind || at - (table[row + STRAY_SINCE] as number) >= SET_BACK_MS;
  }

  /** Ends the slot being filled. */
  private close(i: number, at: number): void {
    const { slots, table } = this;
    const row = i * WIDTH;
    const first = i * SLOTS * 2;
    let used = table[row + USED] as number;
    slots[first + used * 2] = (table[row + LOW_AT] as number) - (table[row + REF_AT] as number);
    slots[first + used * 2 + 1] = (table[row + LOW] as number) - (table[row + REF_DIFFERENCE] as number);
    used++;
    table[row + LEVEL] = table[row + LOW] as number;
    table[row + LOW] = Number.POSITIVE_INFINITY;
    table[row + COUNT] = 0;
    if (used === SLOTS) {
      const reach = at - (table[row + REF_AT] as number) - (slots[first] as number);
      if (reach < SPAN_MS || (table[row + SIZE] as number) < SLOT_MESSAGES) {
        used = this.mergePairs(first);
        table[row + SIZE] = (table[row + SIZE] as number) * 2;
      } else {
        used--;
        slots.copyWithin(first, first + 2, first + SLOTS * 2);
        this.rebase(i, used);
      }
    }
    table[row + USED] = used;
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
    const { slots, table } = this;
    const row = i * WIDTH;
    const first = i * SLOTS * 2;
    const at = slots[first] as number;
    const difference = slots[first + 1] as number;
    for (let k = first; k < first + used * 2; k += 2) {
      slots[k] = (slots[k] as number) - at;
      slots[k + 1] = (slots[k + 1] as number) - difference;
    }
    table[row + REF_AT] = (table[row + REF_AT] as number) + at;
    table[row + REF_DIFFERENCE] = (table[row + REF_DIFFERENCE] as number) + difference;
  }

  /** The offset at the newest message of device `i`; null before the 16th. */
  estimate(i: number): ClockEstimate | null {
    const { table } = this;
    const row = i * WIDTH;
    const total = table[row + TOTAL] as number;
    if (total < MIN_MESSAGES) return null;
    const now = table[row + LAST] as number;
    const minima = this.minima(i, now);
    const open = { t: (table[row + LOW_AT] as number) - now, d: table[row + LOW] as number };
    // The slot being filled always bounds the line from above, but says little of the spread while it is new.
    if ((table[row + COUNT] as number) * 2 >= (table[row + SIZE] as number)) minima.push(open);
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
    const { table } = this;
    const row = i * WIDTH;
    const first = i * SLOTS * 2;
    const used = table[row + USED] as number;
    const found: Pair[] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (let k = first; k < first + used * 2; k += 2) {
      const t = (this.slots[k] as number) + (table[row + REF_AT] as number) - now;
      const d = (this.slots[k + 1] as number) + (table[row + REF_DIFFERENCE] as number);
      lowest = Math.min(lowest, d - MAX_DRIFT * t);
      found.push({ t, d });
    }
    // Two edges whose clocks differ may hand in arrivals that go back.
    found.sort((a, b) => a.t - b.t);
    return found.filter(({ t, d }) => d + MAX_DRIFT * t <= lowest + FAR_MS);
  }

  save(i: number): ClockState | null {
    const { table } = this;
    const row = i * WIDTH;
    if (table[row + TOTAL] === 0) return null;
    const first = i * SLOTS * 2;
    const low = table[row + LOW] as number;
    const strays = table[row + STRAYS] as number;
    return {
      ref: [table[row + REF_AT] as number, table[row + REF_DIFFERENCE] as number],
      slots: [...this.slots.subarray(first, first + (table[row + USED] as number) * 2)],
      size: table[row + SIZE] as number,
      count: table[row + COUNT] as number,
      lowest: Number.isFinite(low) ? [table[row + LOW_AT] as number, low] : null,
      level: table[row + LEVEL] as number,
      total: table[row + TOTAL] as number,
      last: table[row + LAST] as number,
      stray: strays === 0 ? null : [strays, table[row + STRAY] as number, table[row + STRAY_SINCE] as number],
      steps: table[row + STEPPED] as number,
    };
  }

  restore(i: number, state: ClockState): void {
    const { table } = this;
    const row = i * WIDTH;
    table[row + REF_AT] = state.ref[0];
    table[row + REF_DIFFERENCE] = state.ref[1];
    this.slots.set(state.slots, i * SLOTS * 2);
    table[row + USED] = state.slots.length / 2;
    table[row + SIZE] = state.size;
    table[row + COUNT] = state.count;
    table[row + LOW_AT] = state.lowest?.[0] ?? 0;
    table[row + LOW] = state.lowest?.[1] ?? Number.POSITIVE_INFINITY;
    table[row + LEVEL] = state.level;
    table[row + TOTAL] = state.total;
    table[row + LAST] = state.last;
    table[row + STRAYS] = state.stray?.[0] ?? 0;
    table[row + STRAY] = state.stray?.[1] ?? 0;
    table[row + STRAY_SINCE] = state.stray?.[2] ?? 0;
    table[row + STEPPED] = state.steps;
  }
}

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
