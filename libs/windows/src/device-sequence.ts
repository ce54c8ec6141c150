import { grown } from './device-table.ts';

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

// Figures in the row of a device.
const LAST = 0;
const LAST_TS = 1;
const BASE = 2;
const EXPECTED = 3;
const GAPS = 4;
const MISSING = 5;
const REORDERED = 6;
const RESTARTS = 7;
const FRESH = [NONE, 0, 0, NONE, 0, 0, 0, 0];
const WIDTH = FRESH.length;

/**
 * Gaps and reorderings in the sequence numbers of devices, 64 bytes for each. A device counts its messages up by one;
 * the same number again, on another metric's topic or in a repetition, is the same message. A message is reordered when
 * its number is below the next expected one and new (RFC 4737, section 3.3). The missing numbers are kept as up to 32
 * ranges, so a backlog that is sent later fills its gap exactly; of older ranges only the count stays.
 *
 * A device that starts again counts from the beginning: a number that is not missing, with a device time newer than
 * any before, begins a new numbering. Without device times two such numbers in a row do, as in
 * RFC 3550, appendix A.1; MQTT's DUP flag says that they are repetitions.
 */
export class DeviceSequences {
  /** A row of `WIDTH` figures for each device. */
  private table = new Float64Array(0);
  private readonly holes = new Map<number, number[]>();

  /** Makes room for the devices 0 to `capacity - 1`. */
  grow(capacity: number): void {
    this.table = grown(this.table, capacity, FRESH);
  }

  /**
   * Takes in one message of device `i`. True when a count changed, other than by the next number.
   * @param ts device time, NaN when the device sent none
   * @param isRepeat the publish had the DUP flag
   */
  observe(i: number, seq: number, ts: number, isRepeat: boolean): boolean {
    const { table } = this;
    const row = i * WIDTH;
    const last = table[row + LAST] as number;
    if (seq === last + 1 && last !== NONE) {
      table[row + LAST] = seq;
      this.sawTs(row, ts);
      table[row + EXPECTED] = NONE;
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
      this.sawTs(row, ts);
      table[row + MISSING] = (table[row + MISSING] as number) - 1;
      table[row + REORDERED] = (table[row + REORDERED] as number) + 1;
      return true;
    }
    if (ts > (table[row + LAST_TS] as number) || this.isAnew(i, seq, ts, isRepeat)) {
      table[row + RESTARTS] = (table[row + RESTARTS] as number) + 1;
      this.begin(i, seq, ts);
      return true;
    }
    if (seq >= (table[row + BASE] as number) || Number.isNaN(ts)) return false;
    this.reachBack(i, seq);
    return true;
  }

  /** A message from before the first one that came: the numbering begins with it, and those between are missing. */
  private reachBack(i: number, seq: number): void {
    const { table } = this;
    const row = i * WIDTH;
    const base = table[row + BASE] as number;
    const between = base - seq - 1;
    if (between > MAX_JUMP) return;
    table[row + BASE] = seq;
    table[row + REORDERED] = (table[row + REORDERED] as number) + 1;
    if (between === 0) return;
    table[row + MISSING] = (table[row + MISSING] as number) + between;
    const holes = this.holes.get(i) ?? [];
    if (holes.length < MAX_HOLES * 2) this.holes.set(i, [seq + 1, base, ...holes]);
  }

  /** The newest time, not that of the highest number: that one may be a late reading, and older numbers be repeated. */
  private sawTs(row: number, ts: number): void {
    if (!(ts <= (this.table[row + LAST_TS] as number))) this.table[row + LAST_TS] = ts;
  }

  private begin(i: number, seq: number, ts: number): void {
    const { table } = this;
    const row = i * WIDTH;
    table[row + LAST] = seq;
    table[row + LAST_TS] = ts;
    table[row + BASE] = seq;
    table[row + EXPECTED] = NONE;
    this.holes.delete(i);
  }

  private jump(i: number, last: number, seq: number, ts: number): void {
    const { table } = this;
    const row = i * WIDTH;
    const skipped = seq - last - 1;
    if (skipped > MAX_JUMP) {
      table[row + RESTARTS] = (table[row + RESTARTS] as number) + 1;
      this.begin(i, seq, ts);
      return;
    }
    table[row + GAPS] = (table[row + GAPS] as number) + 1;
    table[row + MISSING] = (table[row + MISSING] as number) + skipped;
    table[row + LAST] = seq;
    this.sawTs(row, ts);
    table[row + EXPECTED] = NONE;
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
    const { table } = this;
    const row = i * WIDTH;
    if (!Number.isNaN(ts) || isRepeat) return false;
    const isSecond = table[row + EXPECTED] === seq;
    table[row + EXPECTED] = seq + 1;
    return isSecond;
  }

  counts(i: number): SequenceCounts {
    const { table } = this;
    const row = i * WIDTH;
    const last = table[row + LAST] as number;
    return {
      last: last === NONE ? null : last,
      gaps: table[row + GAPS] as number,
      missing: table[row + MISSING] as number,
      reordered: table[row + REORDERED] as number,
      restarts: table[row + RESTARTS] as number,
    };
  }

  save(i: number): SequenceState {
    const { table } = this;
    const row = i * WIDTH;
    const lastTs = table[row + LAST_TS] as number;
    return {
      ...this.counts(i),
      base: table[row + BASE] as number,
      lastTs: Number.isNaN(lastTs) ? null : lastTs,
      expected: table[row + EXPECTED] as number,
      holes: [...(this.holes.get(i) ?? [])],
    };
  }

  restore(i: number, state: SequenceState): void {
    const { table } = this;
    const row = i * WIDTH;
    table[row + LAST] = state.last ?? NONE;
    table[row + GAPS] = state.gaps;
    table[row + MISSING] = state.missing;
    table[row + REORDERED] = state.reordered;
    table[row + RESTARTS] = state.restarts;
    table[row + BASE] = state.base;
    table[row + LAST_TS] = state.lastTs ?? Number.NaN;
    table[row + EXPECTED] = state.expected;
    if (state.holes.length > 0) this.holes.set(i, [...state.holes]);
  }
}
