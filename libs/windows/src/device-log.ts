import type { LineHead, Reading } from '@weir/reading';
import { type ClockEstimate, type ClockState, DeviceClocks } from './device-clock.ts';
import { DeviceSequences, type SequenceCounts, type SequenceState } from './device-sequence.ts';
import { grown } from './device-table.ts';
import { alignDown, PANE_MS } from './levels.ts';
import type { LineObserver, LineOutcome } from './types.ts';

/** What Weir knows of a device. Times are epoch milliseconds. */
export interface DeviceFigures {
  readonly site: string;
  readonly device: string;
  /** Arrival of its first and its newest message. */
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** Newest event time; null before the first reading. */
  readonly newest: number | null;
  /** Event time up to which its windows are complete, but for late readings. */
  readonly watermark: number | null;
  readonly sequence: SequenceCounts;
  /** Readings that the device sent again. */
  readonly duplicates: number;
  /** Readings later than the allowed lateness. */
  readonly late: number;
  /** null: too few of its messages carry a device time. */
  readonly clock: ClockEstimate | null;
  /** Times that it set its clock. */
  readonly clockSteps: number;
  /** Its lines of the log up to this offset are in. */
  readonly foldedOffset: bigint;
  /** What the figures go on from after a restart. */
  readonly state: DeviceState;
}

/** JSON; a later version may add keys. */
export interface DeviceState {
  readonly v: 1;
  /** Edge → highest spool position. */
  readonly sources: Readonly<Record<string, number>>;
  readonly sequence: SequenceState;
  readonly clock: ClockState | null;
}

/** As stored; the figures that follow from `state` are left out. */
export type StoredDevice = Omit<DeviceFigures, 'watermark' | 'sequence' | 'clock' | 'clockSteps'>;

/** A device that only goes on as before is written this often. */
const WRITE_MS = 15_000;
/**
 * Of new ones and those at once: a fleet comes in together, and its rows take 700 bytes a device on their way. With two
 * transactions a second, a partition keeps up with 30,000 devices.
 */
const WRITES_AT_ONCE = 1_000;
/** Whose turn has come is looked up this often, while nobody must be written: it is a walk through all that wait. */
const LOOK_MS = 1_000;
const FIRST_CAPACITY = 64;

// Figures in the row of a device.
const FIRST_SEEN = 0;
const LAST_SEEN = 1;
const NEWEST = 2;
const DUPLICATES = 3;
const LATE = 4;
/** Edge of the newest line, as its index, and the position there; -1: no line yet. */
const EDGE = 5;
const N = 6;
/** Lines up to this offset are in the stored row. */
const FOLDED = 7;
/** Offset of the first line that is not in the stored row; NaN: every line is. */
const PENDING = 8;
const WRITTEN_AT = 9;
/** 1: a count changed since the row was written. */
const URGENT = 10;
const NEVER = Number.NEGATIVE_INFINITY;
const FRESH = [Number.POSITIVE_INFINITY, NEVER, NEVER, 0, 0, 0, -1, -1, Number.NaN, NEVER, 0];
const WIDTH = FRESH.length;

/** Edges that a device is remembered to have come from before. */
const MAX_ELSEWHERE = 8;
const GOLDEN = 0.618_033_988_749_895;

/**
 * Figures of every device of one partition, a function of its log. `collect` hands out the devices whose counts
 * changed, and each other one every 15 s. What was not handed out is counted again after a restart: the log is read
 * from the replay offset, a stored device skips the lines that are in it, and the transport repetitions among them are
 * known by the spool position. For that no device waits longer than its first line that is not in is read again.
 */
export class DeviceLog implements LineObserver {
  private readonly outOfOrdernessMs: number;
  /** Restored devices whose number is not known yet, by site and id. */
  private readonly restored = new Map<string, Map<string, number>>();
  private readonly names: { readonly site: string; readonly device: string }[] = [];
  /** -1: not known yet. */
  private byNumber = new Int32Array(0);
  private capacity = 0;
  /** A row of `WIDTH` figures for each device. */
  private table = new Float64Array(0);
  private readonly sequences = new DeviceSequences();
  private readonly clocks = new DeviceClocks();
  /** Edges that a device came by before, with the position of its newest line there. */
  private readonly elsewhere = new Map<number, Map<number, number>>();
  private readonly edges: string[] = [];
  private readonly edgeIndex = new Map<string, number>();
  /** Devices with lines that are not in the stored row: the first `waiting` of these. */
  private queue = new Int32Array(0);
  private waiting = 0;
  /** The lowest PENDING of them, and whether one is URGENT. */
  private oldest = Number.POSITIVE_INFINITY;
  private hurry = false;
  private nextLook = NEVER;
  /** Offset of the newest line; while the log is read again, lines that are counted lie behind it. */
  private readUpTo = -1;
  private nextDue = Number.POSITIVE_INFINITY;

  constructor(outOfOrdernessMs: number) {
    this.outOfOrdernessMs = outOfOrdernessMs;
  }

  /** Puts stored devices back. `nextOffset`: first offset that is in none of them. */
  restore(devices: readonly StoredDevice[], nextOffset: bigint): void {
    const last = Number(nextOffset) - 1;
    for (const stored of devices) {
      const i = this.add(stored);
      const ofSite = this.restored.get(stored.site) ?? new Map<string, number>();
      this.restored.set(stored.site, ofSite.set(stored.device, i));
      const { table } = this;
      const row = i * WIDTH;
      table[row + FIRST_SEEN] = stored.firstSeen;
      table[row + LAST_SEEN] = stored.lastSeen;
      table[row + NEWEST] = stored.newest ?? Number.NEGATIVE_INFINITY;
      table[row + DUPLICATES] = stored.duplicates;
      table[row + LATE] = stored.late;
      // A topic that was made anew begins at 0 again.
      table[row + FOLDED] = Math.min(last, Number(stored.foldedOffset));
      const { sources, sequence, clock } = stored.state;
      this.sequences.restore(i, sequence);
      if (clock !== null) this.clocks.restore(i, clock);
      for (const [edge, n] of Object.entries(sources)) this.cameFrom(i, edge, n);
    }
  }

  line(
    head: LineHead,
    readings: readonly Reading[],
    offset: bigint,
    replayed: boolean,
    { device, duplicates, late }: LineOutcome,
  ): void {
    // A replay of dead letters tells nothing of how the device is doing now.
    if (head.forced !== undefined) return;
    const i = this.numbered(device, head);
    const { table } = this;
    const row = i * WIDTH;
    const { at, edge, n } = head;
    const place = Number(offset);
    this.readUpTo = place;
    if (replayed && (place <= (table[row + FOLDED] as number) || n <= this.newestFrom(i, edge))) return;
    this.cameFrom(i, edge, n);
    if (at < (table[row + FIRST_SEEN] as number)) table[row + FIRST_SEEN] = at;
    if (at > (table[row + LAST_SEEN] as number)) table[row + LAST_SEEN] = at;
    let stamp = Number.NEGATIVE_INFINITY;
    let newest = table[row + NEWEST] as number;
    let before: number | undefined;
    let changed = duplicates > 0 || late > 0;
    for (let k = 0; k < readings.length; k++) {
      const { ts, stamped, seq } = readings[k] as Reading;
      if (ts > newest) newest = ts;
      if (stamped && ts > stamp) stamp = ts;
      if (seq === undefined || seq === before) continue;
      before = seq;
      if (this.sequences.observe(i, seq, stamped ? ts : Number.NaN, head.dup === true)) changed = true;
    }
    table[row + NEWEST] = newest;
    if (stamp !== Number.NEGATIVE_INFINITY) this.clocks.observe(i, at, stamp);
    table[row + DUPLICATES] = (table[row + DUPLICATES] as number) + duplicates;
    table[row + LATE] = (table[row + LATE] as number) + late;
    if (changed) {
      table[row + URGENT] = 1;
      this.hurry = true;
    }
    if (Number.isNaN(table[row + PENDING])) {
      table[row + PENDING] = place;
      this.queue[this.waiting++] = i;
      if (place < this.oldest) this.oldest = place;
      // What is read again waits for what is new.
      if (!replayed && this.nextLook < this.nextDue) this.nextDue = this.nextLook;
    }
  }

  /** The index of the device with this number in its partition: by the number, once it is known. */
  private numbered(number: number, { site, device }: LineHead): number {
    if (number >= this.byNumber.length)
      this.byNumber = grown(this.byNumber, 2 * number + FIRST_CAPACITY, [-1]);
    const known = this.byNumber[number] as number;
    if (known >= 0) return known;
    const ofSite = this.restored.get(site);
    const i = ofSite?.get(device) ?? this.add({ site, device });
    ofSite?.delete(device);
    this.byNumber[number] = i;
    return i;
  }

  private add({ site, device }: { readonly site: string; readonly device: string }): number {
    const i = this.names.length;
    this.names.push({ site, device });
    if (i === this.capacity) this.grow(Math.max(FIRST_CAPACITY, Math.ceil(i * 1.25)));
    return i;
  }

  private grow(capacity: number): void {
    this.capacity = capacity;
    this.table = grown(this.table, capacity, FRESH);
    this.queue = grown(this.queue, capacity, [0]);
    this.sequences.grow(capacity);
    this.clocks.grow(capacity);
  }

  private cameFrom(i: number, edge: string, n: number): void {
    const { table } = this;
    const row = i * WIDTH;
    const held = table[row + EDGE] as number;
    if (this.edges[held] === edge && (table[row + N] as number) >= 0) {
      table[row + N] = n;
      return;
    }
    let index = this.edgeIndex.get(edge);
    if (index === undefined) {
      index = this.edges.length;
      this.edges.push(edge);
      this.edgeIndex.set(edge, index);
    }
    if ((table[row + N] as number) >= 0) {
      const others = this.elsewhere.get(i) ?? new Map<number, number>();
      others.set(held, table[row + N] as number);
      others.delete(index);
      if (others.size > MAX_ELSEWHERE) others.delete(others.keys().next().value as number);
      this.elsewhere.set(i, others);
    }
    table[row + EDGE] = index;
    table[row + N] = n;
  }

  private newestFrom(i: number, edge: string): number {
    const { table } = this;
    const row = i * WIDTH;
    if (this.edges[table[row + EDGE] as number] === edge) return table[row + N] as number;
    const index = this.edgeIndex.get(edge);
    return index === undefined ? -1 : (this.elsewhere.get(i)?.get(index) ?? -1);
  }

  /** Whether a device waits for its turn to be written. `now`: the monotonic clock, milliseconds. */
  due(now: number): boolean {
    return now >= this.nextDue;
  }

  /**
   * The devices that must be written now, one by one: 50,000 may come in together. They count as written; take all.
   * @param nextOffset first offset that is not counted yet
   * @param replayOffset where the log is read from after a restart
   */
  *collect(now: number, nextOffset: bigint, replayOffset: bigint): Generator<DeviceFigures> {
    const replay = Number(replayOffset);
    if (now < this.nextLook && !this.hurry && replay <= this.oldest) return;
    const last = Math.min(Number(nextOffset) - 1, this.readUpTo);
    const { table, queue, waiting } = this;
    this.waiting = 0;
    this.oldest = Number.POSITIVE_INFINITY;
    this.hurry = false;
    this.nextDue = Number.POSITIVE_INFINITY;
    let rest = WRITES_AT_ONCE;
    for (let place = 0; place < waiting; place++) {
      const i = queue[place] as number;
      const row = i * WIDTH;
      const pending = table[row + PENDING] as number;
      const dueAt = (table[row + WRITTEN_AT] as number) + WRITE_MS;
      const mayWait = table[row + URGENT] === 0 && pending >= replay;
      if (mayWait && (now < dueAt || rest-- <= 0)) {
        queue[this.waiting++] = i;
        if (pending < this.oldest) this.oldest = pending;
        if (dueAt < this.nextDue) this.nextDue = dueAt;
        continue;
      }
      // Devices that come in together are written apart from their second time on.
      const isFirst = table[row + WRITTEN_AT] === NEVER;
      table[row + WRITTEN_AT] = isFirst ? now - WRITE_MS * ((i * GOLDEN) % 1) : now;
      table[row + URGENT] = 0;
      table[row + PENDING] = Number.NaN;
      table[row + FOLDED] = last;
      yield this.figures(i);
    }
    this.nextLook = rest < 0 ? now : now + LOOK_MS;
    if (this.nextDue < this.nextLook) this.nextDue = this.nextLook;
  }

  /** Figures of every device. */
  all(): DeviceFigures[] {
    return this.names.map((_, i) => this.figures(i));
  }

  private figures(i: number): DeviceFigures {
    const { table } = this;
    const row = i * WIDTH;
    const { site, device } = this.names[i] as { site: string; device: string };
    const newest = Number.isFinite(table[row + NEWEST]) ? (table[row + NEWEST] as number) : null;
    const sources: Record<string, number> = {};
    if ((table[row + N] as number) >= 0)
      sources[this.edges[table[row + EDGE] as number] as string] = table[row + N] as number;
    for (const [edge, n] of this.elsewhere.get(i) ?? []) sources[this.edges[edge] as string] = n;
    return {
      site,
      device,
      firstSeen: table[row + FIRST_SEEN] as number,
      lastSeen: table[row + LAST_SEEN] as number,
      newest,
      watermark: newest === null ? null : alignDown(newest, PANE_MS) - this.outOfOrdernessMs,
      sequence: this.sequences.counts(i),
      duplicates: table[row + DUPLICATES] as number,
      late: table[row + LATE] as number,
      clock: this.clocks.estimate(i),
      clockSteps: this.clocks.steps(i),
      foldedOffset: BigInt(table[row + FOLDED] as number),
      state: { v: 1, sources, sequence: this.sequences.save(i), clock: this.clocks.save(i) },
    };
  }
}
