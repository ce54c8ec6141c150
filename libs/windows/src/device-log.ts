import type { Envelope, Reading } from '@weir/reading';
import { type ClockEstimate, type ClockState, DeviceClocks } from './device-clock.ts';
import { grown } from './device-columns.ts';
import { DeviceSequences, type SequenceCounts, type SequenceState } from './device-sequence.ts';
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
const FIRST_CAPACITY = 64;
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
  private readonly sites = new Map<string, Map<string, number>>();
  private readonly names: { readonly site: string; readonly device: string }[] = [];
  private capacity = 0;
  private firstSeen = new Float64Array(0);
  private lastSeen = new Float64Array(0);
  private newest = new Float64Array(0);
  private duplicates = new Uint32Array(0);
  private late = new Uint32Array(0);
  private readonly sequences = new DeviceSequences();
  private readonly clocks = new DeviceClocks();
  /** Edge of the newest line, and its position; those of other edges are in `elsewhere`. */
  private edge = new Uint32Array(0);
  private n = new Float64Array(0);
  private readonly elsewhere = new Map<number, Map<number, number>>();
  private readonly edges: string[] = [];
  private readonly edgeIndex = new Map<string, number>();
  /** Lines up to here are in the stored row. */
  private folded = new Float64Array(0);
  /** First line that is not in the stored row; NaN: every line is. */
  private pending = new Float64Array(0);
  private writtenAt = new Float64Array(0);
  private urgent = new Uint8Array(0);
  private dirty: number[] = [];
  private nextDue = Number.POSITIVE_INFINITY;

  constructor(outOfOrdernessMs: number) {
    this.outOfOrdernessMs = outOfOrdernessMs;
  }

  /** Puts stored devices back. `nextOffset`: first offset that is in none of them. */
  restore(devices: readonly StoredDevice[], nextOffset: bigint): void {
    const last = Number(nextOffset) - 1;
    for (const stored of devices) {
      const i = this.index(stored.site, stored.device);
      this.firstSeen[i] = stored.firstSeen;
      this.lastSeen[i] = stored.lastSeen;
      this.newest[i] = stored.newest ?? Number.NEGATIVE_INFINITY;
      this.duplicates[i] = stored.duplicates;
      this.late[i] = stored.late;
      // A topic that was made anew begins at 0 again.
      this.folded[i] = Math.min(last, Number(stored.foldedOffset));
      const { sources, sequence, clock } = stored.state;
      this.sequences.restore(i, sequence);
      if (clock !== null) this.clocks.restore(i, clock);
      for (const [edge, n] of Object.entries(sources)) this.cameFrom(i, edge, n);
    }
  }

  line(
    envelope: Envelope,
    readings: readonly Reading[],
    offset: bigint,
    replayed: boolean,
    { duplicates, late }: LineOutcome,
  ): void {
    // A replay of dead letters tells nothing of how the device is doing now.
    if (envelope.forced !== undefined) return;
    const i = this.index(envelope.site, envelope.device);
    const { at, edge, n } = envelope;
    const place = Number(offset);
    if (replayed && (place <= (this.folded[i] as number) || n <= this.newestFrom(i, edge))) return;
    this.cameFrom(i, edge, n);
    if (at < (this.firstSeen[i] as number)) this.firstSeen[i] = at;
    if (at > (this.lastSeen[i] as number)) this.lastSeen[i] = at;
    let stamp = Number.NEGATIVE_INFINITY;
    let newest = this.newest[i] as number;
    let before: number | undefined;
    let changed = duplicates > 0 || late > 0;
    for (let k = 0; k < readings.length; k++) {
      const { ts, stamped, seq } = readings[k] as Reading;
      if (ts > newest) newest = ts;
      if (stamped && ts > stamp) stamp = ts;
      if (seq === undefined || seq === before) continue;
      before = seq;
      if (this.sequences.observe(i, seq, stamped ? ts : Number.NaN, envelope.dup === true)) changed = true;
    }
    this.newest[i] = newest;
    if (stamp !== Number.NEGATIVE_INFINITY) this.clocks.observe(i, at, stamp);
    this.duplicates[i] = (this.duplicates[i] as number) + duplicates;
    this.late[i] = (this.late[i] as number) + late;
    if (changed) this.urgent[i] = 1;
    if (Number.isNaN(this.pending[i])) {
      this.pending[i] = place;
      this.dirty.push(i);
    }
  }

  private index(site: string, device: string): number {
    let devices = this.sites.get(site);
    if (devices === undefined) {
      devices = new Map();
      this.sites.set(site, devices);
    }
    const known = devices.get(device);
    if (known !== undefined) return known;
    const i = this.names.length;
    this.names.push({ site, device });
    devices.set(device, i);
    if (i === this.capacity) this.grow(Math.max(FIRST_CAPACITY, i * 2));
    return i;
  }

  private grow(capacity: number): void {
    this.capacity = capacity;
    this.firstSeen = grown(this.firstSeen, capacity, Number.POSITIVE_INFINITY);
    this.lastSeen = grown(this.lastSeen, capacity, Number.NEGATIVE_INFINITY);
    this.newest = grown(this.newest, capacity, Number.NEGATIVE_INFINITY);
    this.duplicates = grown(this.duplicates, capacity);
    this.late = grown(this.late, capacity);
    this.edge = grown(this.edge, capacity);
    this.n = grown(this.n, capacity, -1);
    this.folded = grown(this.folded, capacity, -1);
    this.pending = grown(this.pending, capacity, Number.NaN);
    this.writtenAt = grown(this.writtenAt, capacity, Number.NEGATIVE_INFINITY);
    this.urgent = grown(this.urgent, capacity);
    this.sequences.grow(capacity);
    this.clocks.grow(capacity);
  }

  private cameFrom(i: number, edge: string, n: number): void {
    const held = this.edge[i] as number;
    if (this.edges[held] === edge && (this.n[i] as number) >= 0) {
      this.n[i] = n;
      return;
    }
    let index = this.edgeIndex.get(edge);
    if (index === undefined) {
      index = this.edges.length;
      this.edges.push(edge);
      this.edgeIndex.set(edge, index);
    }
    if ((this.n[i] as number) >= 0) {
      const others = this.elsewhere.get(i) ?? new Map<number, number>();
      others.set(held, this.n[i] as number);
      others.delete(index);
      if (others.size > MAX_ELSEWHERE) others.delete(others.keys().next().value as number);
      this.elsewhere.set(i, others);
    }
    this.edge[i] = index;
    this.n[i] = n;
  }

  private newestFrom(i: number, edge: string): number {
    if (this.edges[this.edge[i] as number] === edge) return this.n[i] as number;
    const index = this.edgeIndex.get(edge);
    return index === undefined ? -1 : (this.elsewhere.get(i)?.get(index) ?? -1);
  }

  /** Whether a device waits for its turn to be written. `now`: the monotonic clock, milliseconds. */
  due(now: number): boolean {
    return now >= this.nextDue;
  }

  /**
   * The devices that must be written now; they count as written.
   * @param nextOffset first offset that is not counted yet
   * @param replayOffset where the log is read from after a restart
   */
  collect(now: number, nextOffset: bigint, replayOffset: bigint): DeviceFigures[] {
    const replay = Number(replayOffset);
    const last = nextOffset - 1n;
    const waiting: number[] = [];
    const written: DeviceFigures[] = [];
    this.nextDue = Number.POSITIVE_INFINITY;
    for (const i of this.dirty) {
      const dueAt = (this.writtenAt[i] as number) + WRITE_MS;
      if (this.urgent[i] === 0 && now < dueAt && (this.pending[i] as number) >= replay) {
        waiting.push(i);
        if (dueAt < this.nextDue) this.nextDue = dueAt;
        continue;
      }
      // Devices that come in together are written apart from their second time on.
      const isFirst = this.writtenAt[i] === Number.NEGATIVE_INFINITY;
      this.writtenAt[i] = isFirst ? now - WRITE_MS * ((i * GOLDEN) % 1) : now;
      this.urgent[i] = 0;
      this.pending[i] = Number.NaN;
      this.folded[i] = Number(last);
      written.push(this.figures(i));
    }
    this.dirty = waiting;
    return written;
  }

  /** Figures of every device. */
  all(): DeviceFigures[] {
    return this.names.map((_, i) => this.figures(i));
  }

  private figures(i: number): DeviceFigures {
    const { site, device } = this.names[i] as { site: string; device: string };
    const newest = Number.isFinite(this.newest[i]) ? (this.newest[i] as number) : null;
    const sources: Record<string, number> = {};
    if ((this.n[i] as number) >= 0)
      sources[this.edges[this.edge[i] as number] as string] = this.n[i] as number;
    for (const [edge, n] of this.elsewhere.get(i) ?? []) sources[this.edges[edge] as string] = n;
    return {
      site,
      device,
      firstSeen: this.firstSeen[i] as number,
      lastSeen: this.lastSeen[i] as number,
      newest,
      watermark: newest === null ? null : alignDown(newest, PANE_MS) - this.outOfOrdernessMs,
      sequence: this.sequences.counts(i),
      duplicates: this.duplicates[i] as number,
      late: this.late[i] as number,
      clock: this.clocks.estimate(i),
      clockSteps: this.clocks.steps(i),
      foldedOffset: BigInt(this.folded[i] as number),
      state: { v: 1, sources, sequence: this.sequences.save(i), clock: this.clocks.save(i) },
    };
  }
}
