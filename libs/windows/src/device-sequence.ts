import { grown } from './device-columns.ts';

/** What became of the numbers that a device gives its messages. */
export interface SequenceCounts {
  /** Highest number of the present numbering; null before the first. */
  readonly last: number | null;
  /** Times that numbers were jumped over. */
  readonly gaps: number;
  /** Numbers jumped over that have not come since. */
  readonly missing: number;
  /** Messages that came after one with a higher number. */
  readonly reordered: number;
  /** Times that the device began to count anew. */
  readonly restarts: number;
}

/** What a restart needs. `holes` holds the missing numbers as [from, to) by turns, ascending. */
export interface SequenceState extends SequenceCounts {
  readonly base: number;
  readonly lastTs: number | null;
  readonly expected: number;
  readonly holes: readonly number[];
}

/** A jump over more numbers than this is no loss but another numbering. */
const MAX_JUMP = 1_000_000;
const MAX_HOLES = 32;
const NONE = -1;

/**
 * Gaps and reorderings in the sequence numbers of devices, a column per figure. A device counts its messages up by one;
 * the same number again, on another metric's topic or in a repetition, is the same message. A message is reordered when
 * its number is below the next expected one and new (RFC 4737, section 3.3). The missing numbers are kept as up to 32
 * ranges, so a backlog that is sent later fills its gap exactly; of older ranges only the count stays.
 *
 * A device that starts again counts from the beginning: a number that is not missing, with a device time newer than
 * that of the highest number, begins a new numbering. Without device times two such numbers in a row do, as in
 * RFC 3550, appendix A.1; MQTT's DUP flag says that they are repetitions.
 */
export class DeviceSequences {
  private last = new Float64Array(0);
  private lastTs = new Float64Array(0);
  private base = new Float64Array(0);
  private expected = new Float64Array(0);
  private gaps = new Uint32Array(0);
  private missing = new Float64Array(0);
  private reordered = new Uint32Array(0);
  private restarts = new Uint32Array(0);
  private readonly holes = new Map<number, number[]>();

  /** Makes room for the devices 0 to `capacity - 1`. */
  grow(capacity: number): void {
    this.last = grown(this.last, capacity, NONE);
    this.lastTs = grown(this.lastTs, capacity);
    this.base = grown(this.base, capacity);
    this.expected = grown(this.expected, capacity, NONE);
    this.gaps = grown(this.gaps, capacity);
    this.missing = grown(this.missing, capacity);
    this.reordered = grown(this.reordered, capacity);
    this.restarts = grown(this.restarts, capacity);
  }

  /**
   * Takes in one message of device `i`. True when a count changed, other than by the next number.
   * @param ts device time, NaN when the device sent none
   * @param isRepeat the publish had the DUP flag
   */
  observe(i: number, seq: number, ts: number, isRepeat: boolean): boolean {
    const last = this.last[i] as number;
    if (seq === last + 1 && last !== NONE) {
      this.last[i] = seq;
      this.lastTs[i] = ts;
      this.expected[i] = NONE;
      return false;
    }
    if (seq === last) return false;
    if (last === NONE) {
      this.begin(i, seq, ts);
      return false;
    }
    if (seq > last) {
      this.jump(i, last, seq, ts);
      return true;
    }
    if (this.fill(i, seq)) {
      this.missing[i] = (this.missing[i] as number) - 1;
      this.reordered[i] = (this.reordered[i] as number) + 1;
      return true;
    }
    if (ts > (this.lastTs[i] as number) || this.isAnew(i, seq, ts, isRepeat)) {
      this.restarts[i] = (this.restarts[i] as number) + 1;
      this.begin(i, seq, ts);
      return true;
    }
    if (seq >= (this.base[i] as number) || Number.isNaN(ts)) return false;
    this.reachBack(i, seq);
    return true;
  }

  /** A message from before the first one that came: the numbering begins with it, and those between are missing. */
  private reachBack(i: number, seq: number): void {
    const base = this.base[i] as number;
    const between = base - seq - 1;
    if (between > MAX_JUMP) return;
    this.base[i] = seq;
    this.reordered[i] = (this.reordered[i] as number) + 1;
    if (between === 0) return;
    this.missing[i] = (this.missing[i] as number) + between;
    const holes = this.holes.get(i) ?? [];
    if (holes.length < MAX_HOLES * 2) this.holes.set(i, [seq + 1, base, ...holes]);
  }

  private begin(i: number, seq: number, ts: number): void {
    this.last[i] = seq;
    this.lastTs[i] = ts;
    this.base[i] = seq;
    this.expected[i] = NONE;
    this.holes.delete(i);
  }

  private jump(i: number, last: number, seq: number, ts: number): void {
    const skipped = seq - last - 1;
    if (skipped > MAX_JUMP) {
      this.restarts[i] = (this.restarts[i] as number) + 1;
      this.begin(i, seq, ts);
      return;
    }
    this.gaps[i] = (this.gaps[i] as number) + 1;
    this.missing[i] = (this.missing[i] as number) + skipped;
    this.last[i] = seq;
    this.lastTs[i] = ts;
    this.expected[i] = NONE;
    const holes = this.holes.get(i);
    if (holes === undefined) this.holes.set(i, [last + 1, seq]);
    else {
      holes.push(last + 1, seq);
      if (holes.length > MAX_HOLES * 2) holes.splice(0, 2);
    }
  }

  /** Takes `seq` out of the missing ones; false when it is not among them. */
  private fill(i: number, seq: number): boolean {
    const holes = this.holes.get(i);
    if (holes === undefined) return false;
    for (let k = holes.length - 2; k >= 0; k -= 2) {
      const from = holes[k] as number;
      const to = holes[k + 1] as number;
      if (seq >= to) return false;
      if (seq < from) continue;
      const rest = [from, seq, seq + 1, to];
      if (seq === from) rest.splice(0, 2);
      if (seq + 1 === to) rest.splice(-2, 2);
      holes.splice(k, 2, ...rest);
      if (holes.length === 0) this.holes.delete(i);
      else if (holes.length > MAX_HOLES * 2) holes.splice(0, 2);
      return true;
    }
    return false;
  }

  private isAnew(i: number, seq: number, ts: number, isRepeat: boolean): boolean {
    if (!Number.isNaN(ts) || isRepeat) return false;
    const isSecond = this.expected[i] === seq;
    this.expected[i] = seq + 1;
    return isSecond;
  }

  counts(i: number): SequenceCounts {
    const last = this.last[i] as number;
    return {
      last: last === NONE ? null : last,
      gaps: this.gaps[i] as number,
      missing: this.missing[i] as number,
      reordered: this.reordered[i] as number,
      restarts: this.restarts[i] as number,
    };
  }

  save(i: number): SequenceState {
    const lastTs = this.lastTs[i] as number;
    return {
      ...this.counts(i),
      base: this.base[i] as number,
      lastTs: Number.isNaN(lastTs) ? null : lastTs,
      expected: this.expected[i] as number,
      holes: [...(this.holes.get(i) ?? [])],
    };
  }

  restore(i: number, state: SequenceState): void {
    this.last[i] = state.last ?? NONE;
    this.gaps[i] = state.gaps;
    this.missing[i] = state.missing;
    this.reordered[i] = state.reordered;
    this.restarts[i] = state.restarts;
    this.base[i] = state.base;
    this.lastTs[i] = state.lastTs ?? Number.NaN;
    this.expected[i] = state.expected;
    if (state.holes.length > 0) this.holes.set(i, [...state.holes]);
  }
}
