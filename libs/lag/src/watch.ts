import { figuresOf, lagOf, placeOf, slide, type Window } from './figures.ts';
import { type Facts, isExcused, judge, unmeasured } from './rules.ts';
import { type Settled, settle } from './settle.ts';
import { Trail } from './trail.ts';
import {
  type Figures,
  type Finding,
  type Judged,
  type Limits,
  type Measurement,
  REBALANCE_MS,
  type Unmeasured,
  WINDOW_MS,
} from './types.ts';

const STRIDES = 8;
/** Fewer say nothing of what is usual. */
const LEAST_STRIDES = 3;
const STARTS = 8;

const NOTHING_KNOWN: Figures = {
  lag: null,
  timeLagMs: null,
  timeLagBy: null,
  velocity: null,
  etaMs: null,
  retentionMarginItems: null,
  timeToLossMs: null,
  inRate: null,
  outRate: null,
};

/** Watches one partition of a group, or one queue. The same measurements give the same verdicts, whoever takes them. */
export class Watch {
  #limits: Limits;
  #trail = new Trail();
  #window: Window = [];
  #last: Measurement | null = null;
  #movedAt: number | null = null;
  #waitingSince: number | null = null;
  #absentSince: number | null = null;
  #presentSince: number | null = null;
  #arrived: { readonly end: number; since: number | null } | null = null;
  #rewoundFrom: number | null = null;
  #restlessSince: number | null = null;
  #strides: readonly number[] = [];
  #starts: readonly { readonly start: number; readonly at: number }[] = [];
  #settled: Settled | null = null;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  set limits(limits: Limits) {
    this.#limits = limits;
  }

  /** The verdict after one more measurement, newer than the last one. */
  take(now: Measurement | Unmeasured): Judged {
    if ('why' in now) {
      const { committed, start, end, consumers } = this.#last ?? NO_PLACE;
      return this.#answer(now.at, { committed, start, end, consumers }, NOTHING_KNOWN, unmeasured(now.why));
    }
    if (this.#last !== null && now.at - this.#last.at > WINDOW_MS) this.#interrupted();
    if (this.#last !== null && isOtherLog(this.#last, now)) this.#forgetLog();
    this.#follow(now);
    const figures = figuresOf(this.#window, this.#trail, this.#startRate());
    return this.#answer(now.at, now, figures, judge(this.#facts(now, figures)));
  }

  /** When the record at `offset` came, epoch milliseconds, where it need not be read to know that. */
  knows(offset: number): number | null {
    const found = this.#trail.timeOf(offset);
    return found?.exact === true ? found.at : null;
  }

  #answer(
    at: number,
    { committed, start, end, consumers }: Pick<Judged, 'committed' | 'start' | 'end' | 'consumers'>,
    figures: Figures,
    finding: Finding,
  ): Judged {
    this.#settled = settle(this.#settled, finding, at, this.#limits);
    const { verdict, rule, since } = this.#settled;
    return { at, committed, start, end, consumers, ...figures, verdict, rule, since };
  }

  #forgetLog(): void {
    this.#trail = new Trail();
    this.#window = [];
    this.#last = null;
    this.#waitingSince = null;
    this.#arrived = null;
    this.#rewoundFrom = null;
    this.#starts = [];
  }

  /** What lasts must be seen to last: after a long gap every clock starts again. */
  #interrupted(): void {
    this.#window = [];
    this.#movedAt = null;
    this.#waitingSince = null;
    this.#absentSince = null;
    this.#presentSince = null;
    this.#arrived = null;
    this.#restlessSince = null;
  }

  #follow(now: Measurement): void {
    const { at, end, start, consumers } = now;
    const before = this.#last;
    this.#last = now;
    if (before === null || this.#movedAt === null) this.#movedAt = at;
    else if (now.committed !== before.committed) this.#moved(before, now);
    this.#window = slide(this.#window, now);

    const place = placeOf(now);
    this.#trail.add(end, at);
    if (place !== null) {
      if (now.headAt != null) this.#trail.read(place, now.headAt);
      this.#trail.passed(place);
    }
    if (this.#starts.at(-1)?.start !== start)
      this.#starts = [...this.#starts.slice(1 - STARTS), { start, at }];

    const waits = now.nothing !== true && (lagOf(now) ?? 0) > 0;
    this.#waitingSince = waits ? (this.#waitingSince ?? at) : null;
    this.#absentSince = consumers === 0 ? (this.#absentSince ?? at) : null;
    this.#presentSince = consumers === 0 ? null : (this.#presentSince ?? at);
    if (now.rebalancing === true) this.#restlessSince ??= at;
    this.#followUncommitted(now);
    if (this.#rewoundFrom !== null && place !== null && place >= this.#rewoundFrom) this.#rewoundFrom = null;
  }

  #moved(before: Measurement, now: Measurement): void {
    const { committed, at } = now;
    if (before.committed !== null && this.#waitingSince !== null) {
      const stride = at - Math.max(this.#movedAt ?? at, this.#waitingSince);
      this.#strides = [...this.#strides, stride].slice(-STRIDES);
    }
    this.#movedAt = at;
    this.#restlessSince = null;
    // What lay beyond the end belonged to another log: coming from there is no rewind.
    if (before.committed === null || before.committed > before.end) return;
    if (committed === null || committed > before.committed) return;
    this.#rewoundFrom = Math.max(this.#rewoundFrom ?? 0, before.committed);
    // Rates over a rewind would say that records came, or that the group worked backwards.
    this.#window = [];
  }

  #followUncommitted({ at, end, committed, consumers }: Measurement): void {
    if (committed !== null || consumers === 0) this.#arrived = null;
    else if (this.#arrived === null) this.#arrived = { end, since: null };
    else if (end > this.#arrived.end) this.#arrived.since ??= at;
  }

  /** Records a second by which the start of the log has moved, over its last moves; null: unknown. */
  #startRate(): number | null {
    const [first, last] = [this.#starts[0], this.#starts.at(-1)];
    const now = this.#last?.at ?? 0;
    // It moves by whole segments: a single move says nothing of a rate.
    if (this.#starts.length < 3 || first === undefined || last === undefined) return null;
    return ((last.start - first.start) / (now - first.at)) * 1_000;
  }

  #facts(now: Measurement, figures: Figures): Facts {
    const excuse = { now, restlessSince: this.#restlessSince };
    return {
      ...{ now, figures, window: this.#window, limits: this.#limits },
      waitingSince: isExcused(excuse, REBALANCE_MS) ? null : this.#waitingSince,
      movedAt: this.#movedAt ?? now.at,
      absentSince: this.#absentSince,
      presentSince: this.#presentSince,
      unansweredSince: this.#arrived?.since ?? null,
      rewoundFrom: this.#rewoundFrom,
      restlessSince: this.#restlessSince,
      strideMs: this.#strides.length < LEAST_STRIDES ? null : median(this.#strides),
    };
  }
}

const NO_PLACE = { committed: null, start: null, end: null, consumers: null };

/** A log made anew under its name, or one that lost its end. */
const isOtherLog = (before: Measurement, now: Measurement): boolean =>
  now.end < before.end ||
  now.start < before.start ||
  (before.log != null && now.log != null && before.log !== now.log);

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
