import { seeded, seedOf } from '../fleet/random.ts';
import type { Curve } from './curve.ts';
import type { Outage } from './outages.ts';
import type { DeviceClass } from './schema.ts';

export const KINDS = { reading: 0, malformed: 1, oversized: 2 } as const;

interface Held {
  readonly at: number;
  readonly ts: number;
  readonly seq: number;
  readonly copies: number;
}

/**
 * The publishes of one device, one after the other: a pure function of scenario, seed and the device's place in its
 * class. It knows nothing of answers, so a stall downstream changes no time in it. Fields, not objects: a worker steps
 * through tens of thousands of these a second.
 */
export class Cursor {
  /** When the publish is meant to leave, milliseconds from the start. Never less than the one before. */
  at = 0;
  /** The device's own time of the reading, milliseconds from the start. */
  ts = 0;
  /** From 1 without a gap among the readings of a device; 0 for what is no reading. */
  seq = 0;
  /** One of KINDS. */
  kind: number = KINDS.reading;
  /** 2: sent twice. */
  copies = 1;
  readonly #spec: DeviceClass;
  readonly #curve: Curve;
  readonly #outages: readonly Outage[];
  readonly #random: () => number;
  readonly #silent: readonly { readonly from: number; readonly to: number }[];
  readonly #offsetMs: number;
  readonly #drift: number;
  readonly #phase: number;
  readonly #step = { step: 0 };
  readonly #held: Held[] = [];
  #k = 0;
  #outage = 0;
  #lastSeq = 0;
  #dueTs = 0;
  #due = 0;

  constructor(spec: DeviceClass, index: number, seed: number, curve: Curve, outages: readonly Outage[]) {
    this.#spec = spec;
    this.#curve = curve;
    this.#outages = outages;
    const random = seeded(seedOf(seed, `${spec.name}/${index}`));
    this.#random = random;
    this.#phase = random();
    this.#silent = spec.silent
      .filter(({ share }) => random() < share)
      .map(({ from, for: lasts }) => ({ from, to: from + lasts }));
    const wrong = spec.clock !== undefined && random() < spec.clock.share ? spec.clock : undefined;
    this.#offsetMs = wrong === undefined ? 0 : Math.round((2 * random() - 1) * wrong.offset);
    this.#drift = wrong === undefined ? 0 : ((2 * random() - 1) * wrong.drift) / 1e6;
    this.#measure();
  }

  /** Whether its clock is right, so that latencies may be measured by its times. */
  get isPunctual(): boolean {
    return this.#offsetMs === 0 && this.#drift === 0;
  }
  /** Highest number given out so far. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Steps to the next publish; false when there is none any more. */
  advance(): boolean {
    for (;;) {
      const [first] = this.#held;
      if (first !== undefined && first.at <= this.#due) {
        this.#held.shift();
        return this.#is(KINDS.reading, first.at, first.ts, first.seq, first.copies);
      }
      if (this.#due === Number.POSITIVE_INFINITY) return false;
      const at = this.#due;
      const ts = this.#dueTs;
      this.#measure();
      if (this.#isSilent(ts)) continue;
      const { malformed, oversized, duplicate } = this.#spec;
      if (malformed > 0 && this.#random() < malformed) return this.#is(KINDS.malformed, at, ts, 0, 1);
      if (oversized > 0 && this.#random() < oversized) return this.#is(KINDS.oversized, at, ts, 0, 1);
      const copies = duplicate > 0 && this.#random() < duplicate ? 2 : 1;
      const seq = ++this.#lastSeq;
      const clock = Math.floor(ts + this.#offsetMs + ts * this.#drift);
      const delay = this.#delay();
      if (delay === 0) return this.#is(KINDS.reading, at, clock, seq, copies);
      this.#hold({ at: this.#online(at + delay), ts: clock, seq, copies });
    }
  }

  #is(kind: number, at: number, ts: number, seq: number, copies: number): boolean {
    this.kind = kind;
    this.at = at;
    this.ts = ts;
    this.seq = seq;
    this.copies = copies;
    return true;
  }

  /** Finds when the next reading is taken and when it can leave. */
  #measure(): void {
    const { rate, jitter } = this.#spec;
    for (;;) {
      const slip = jitter > 0 ? jitter * this.#random() : 0;
      const ts = this.#curve.timeOf((this.#k++ + this.#phase + slip) / rate, this.#step);
      this.#dueTs = ts;
      this.#due = ts;
      if (ts === Number.POSITIVE_INFINITY) return;
      this.#passOutages(ts);
      const outage = this.#outages[this.#outage];
      if (outage === undefined || ts < outage.from || ts >= outage.to) return;
      if (!outage.backfill) continue;
      this.#due = outage.to;
      return;
    }
  }

  #passOutages(ts: number): void {
    while (this.#outage + 1 < this.#outages.length && (this.#outages[this.#outage] as Outage).to <= ts)
      this.#outage++;
  }

  /** The first time at or after `at` at which the connection is meant to be there. */
  #online(at: number): number {
    const away = this.#outages.find(({ from, to }) => at >= from && at < to);
    return away === undefined ? at : away.to;
  }

  #isSilent(ts: number): boolean {
    for (const { from, to } of this.#silent) if (ts >= from && ts < to) return true;
    return false;
  }

  #delay(): number {
    const { late, outOfOrder } = this.#spec;
    if (late !== undefined && this.#random() < late.share) return late.by;
    if (outOfOrder !== undefined && this.#random() < outOfOrder.share) return outOfOrder.by;
    return 0;
  }

  #hold(held: Held): void {
    const at = this.#held.findIndex((one) => one.at > held.at);
    if (at < 0) this.#held.push(held);
    else this.#held.splice(at, 0, held);
  }
}
