import type { Forced, LineHead, Reading } from '@weir/reading';
import { ARRIVAL_TICK_MS, Arrivals } from './arrivals.ts';
import { LATE, MERGED, paneOf, WindowEngine } from './engine.ts';
import { type CountedReading, type ForcedReading, ForcedReadings, lateIdentity } from './forced.ts';
import { alignDown } from './levels.ts';
import { isLineError } from './line.ts';
import { LineReader } from './line-reader.ts';
import { Device, Devices, type Series } from './names.ts';
import type { NeededRows } from './supplied-rows.ts';
import {
  type BuriedLine,
  type Counts,
  type Derive,
  type LineObserver,
  noCounts,
  type Position,
  type RestoredSeries,
  type RowSink,
  type WindowOptions,
} from './types.ts';
import type { Figures } from './window.ts';

/**
 * Everything that one partition's log says, folded in log order. The rows it hands out are a function of the log
 * alone, wherever it was cut into commits or restarted (`revision`, and how early the row of a silent device appears,
 * are not part of that promise). Pure: no clock, no I/O; the caller loads and stores rows.
 */
export class PartitionState {
  private readonly options: WindowOptions;
  private readonly engine: WindowEngine;
  private readonly arrivals: Arrivals;
  private readonly publishes: Arrivals;
  private readonly devices = new Devices();
  private readonly reader = new LineReader(this.devices);
  /** By number. */
  private readonly series: Series[] = [];
  private readonly sources: Map<string, number>;
  /** Largest arrival time so far; grows only. */
  private clock = Number.NEGATIVE_INFINITY;
  /** Arrival clock before the record at `offset`; the first one is where a replay would begin. */
  private readonly marks: { offset: bigint; clock: number }[];
  private next: bigint;
  private fresh: Series[] = [];
  private counts = noCounts();
  private buried: BuriedLine[] = [];
  private readonly observers: LineObserver[] = [];
  private derive: Derive | null = null;
  private readonly outcome = { device: 0, duplicates: 0, late: 0 };
  private readonly forced = new ForcedReadings<Series, Device>();
  /** Start of the newest pane of any device, epoch milliseconds. */
  newest = Number.NEGATIVE_INFINITY;

  constructor(options: WindowOptions, position: Position) {
    this.options = options;
    this.engine = new WindowEngine(options);
    this.arrivals = new Arrivals(options.dedupCount);
    this.publishes = new Arrivals(options.dedupCount);
    this.next = position.nextOffset;
    this.marks = [{ offset: position.replayOffset, clock: Number.NEGATIVE_INFINITY }];
    this.sources = new Map(Object.entries(position.sources));
  }

  get nextOffset(): bigint {
    return this.next;
  }

  /** From now on readings follow from the lines, and are folded as if they had been sent. */
  deriveWith(derive: Derive): void {
    this.derive = derive;
  }

  /** Tells `observer` of every line from now on. */
  observe(observer: LineObserver): void {
    this.observers.push(observer);
  }

  /**
   * Puts stored rows back: of each series at least those at or above `openFloors` of its device's watermark. All
   * series of a device come in one call.
   * @param now the caller's monotonic clock, milliseconds
   */
  restore(restored: readonly RestoredSeries[], now: number): void {
    const newest = new Map<Device, number>();
    for (const { site, device, newest: pane } of restored) {
      const found = this.device(site, device);
      newest.set(found, Math.max(pane, newest.get(found) ?? pane));
      if (pane > this.newest) this.newest = pane;
    }
    for (const [device, pane] of newest) this.engine.restoreDevice(device.index, pane, now);
    for (const { id, site, device, metric, unit, rows } of restored) {
      const series = this.addSeries(this.device(site, device), metric, id);
      series.unit = unit ?? undefined;
      this.engine.restoreSeries(series.index, rows);
    }
  }

  /**
   * Folds the lines of one record. A record below `nextOffset` is in the rows already and only restores the duplicate
   * horizon. Returns the number of readings in the record that were folded or buried.
   * @param lines each with its newline, which the last one may lack
   * @param now the caller's monotonic clock, milliseconds; decides only when a device counts as idle
   */
  apply(offset: bigint, lines: Buffer, now: number): number {
    const { reader } = this;
    const replay = offset < this.next;
    const before = this.clock;
    let readings = 0;
    for (let index = 0, start = 0; start < lines.length; index++, start = reader.end + 1) {
      try {
        reader.read(lines, start);
      } catch (error) {
        if (!isLineError(error)) throw error;
        if (replay) continue;
        this.bury('decode', offset, index, error.message, null, null, null);
        this.counts.undecodable++;
        continue;
      }
      readings += this.applyLine(offset, index, replay, now);
    }
    const last = this.marks[this.marks.length - 1] as { clock: number };
    if (before >= last.clock + this.options.dedupHorizonMs / MARKS_PER_HORIZON)
      this.marks.push({ offset, clock: before });
    if (!replay) this.next = offset + 1n;
    return readings;
  }

  /** The line of `reader`. */
  private applyLine(offset: bigint, index: number, replay: boolean, now: number): number {
    const { head, known, readings: sent } = this.reader;
    const { at, edge, n, forced } = head;
    const origin = forced === undefined ? offset : BigInt(forced.offset ?? offset);
    const readings = this.derive?.(head, sent, origin) ?? sent;
    if (forced !== undefined) {
      if (replay) return 0;
      // Refused parts of a line that was in the log before became letters then.
      if (forced.offset === undefined) this.buryRefused(offset, index);
      return this.park(offset, head, readings, forced, now);
    }
    if (at > this.clock) this.clock = at;
    const since = this.horizon();
    const device = known ?? this.device(head.site, head.device);
    const repetition = !replay && n <= (this.sources.get(edge) ?? -1);
    const resent = replay || repetition;
    if (!resent) this.sources.set(edge, n);
    const repeated = this.repeatedPublish(device, head, readings, since);
    let late: number[] | null = null;
    let duplicates = 0;
    for (let i = 0; i < readings.length; i++) {
      const reading = readings[i] as Reading;
      const series = this.seriesOf(device, reading);
      let duplicate = repeated;
      if (reading.stamped && reading.seq !== undefined) {
        duplicate = !resent && this.arrivals.has(series.index, reading.ts, reading.seq, since);
        this.arrivals.put(series.index, reading.ts, reading.seq, this.clock, since);
      }
      if (resent || duplicate) {
        if (!replay) duplicates++;
      } else if (!this.fold(device, series, reading, now)) {
        late ??= [];
        late.push(i);
        this.forced.late(head, reading, i);
      }
    }
    this.counts.duplicate += duplicates;
    if (!repetition) {
      this.outcome.device = device.index;
      this.outcome.duplicates = duplicates;
      this.outcome.late = late?.length ?? 0;
      for (const observer of this.observers) observer.line(head, readings, offset, replay, this.outcome);
    }
    if (replay) return 0;
    if (late !== null) {
      const text = `later than the allowed lateness of ${this.options.allowedLatenessMs} ms behind its device's watermark`;
      this.bury('late', offset, index, text, late, head.device, at);
      this.counts.late += late.length;
    }
    if (!resent) this.buryRefused(offset, index);
    return readings.length;
  }

  private buryRefused(offset: bigint, index: number): void {
    const { head, refusals } = this.reader;
    const refusal = refusals[0];
    if (refusal === undefined) return;
    const { reason, message } = refusal;
    this.bury(reason as BuriedLine['reason'], offset, index, message, null, head.device, head.at);
    this.counts.undecodable++;
  }

  /** False when the reading is too late for its pane. */
  private fold(device: Device, series: Series, reading: Reading, now: number): boolean {
    const { ts, value } = reading;
    const pane = paneOf(ts);
    if (this.forced.holds(series, pane)) {
      if (this.engine.isLate(device.index, pane)) return false;
      this.forced.park({ device, series, pane, ts, value, forced: null });
      this.engine.touch(device.index, pane, now);
    } else {
      const how = this.engine.fold(device.index, series.index, ts, value, now);
      if (how === LATE) return false;
      if (how === MERGED) this.counts.merged++;
    }
    if (pane > this.newest) this.newest = pane;
    if (series.unit === undefined) series.unit = reading.unit;
    this.counts.stored++;
    return true;
  }

  /**
   * A line that a replay sent. Nothing of its transport counts (its `edge` and `n` were folded long ago), nor is it an
   * arrival of the device: a rejected reading is remembered to recognise the device's repetition, and a replay is none.
   */
  private park(
    offset: bigint,
    head: LineHead,
    readings: readonly Reading[],
    { offset: from, readings: indexes = [...readings.keys()] }: Forced,
    now: number,
  ): number {
    const device = this.device(head.site, head.device);
    const origin = from === undefined ? null : BigInt(from);
    for (const index of indexes) {
      const reading = readings[index];
      // A derived metric that is no longer defined has no reading any more.
      if (reading === undefined) continue;
      const series = this.seriesOf(device, reading);
      const pane = paneOf(reading.ts);
      const forced = { identity: lateIdentity(head, reading, index), offset, origin };
      this.forced.park({ device, series, pane, ts: reading.ts, value: reading.value, forced });
      // As if it counted: if it did before, its pane is a row already, and nothing here says more than that row.
      this.engine.touch(device.index, pane, now);
      if (pane > this.newest) this.newest = pane;
    }
    return indexes.length;
  }

  /** Forced readings whose identity must be looked up before `collect`. */
  forcedReadings(): readonly ForcedReading[] {
    return this.forced.waiting();
  }

  /**
   * Answers `forcedReadings`, before `neededRows` and `collect`.
   * @param refused identities that were counted before, or were never buried
   * @returns the readings that count now: keep their identities in the transaction of the rows
   */
  settleForced(refused: ReadonlySet<string>): readonly CountedReading[] {
    const counted: CountedReading[] = [];
    const again = this.forced.settle(refused, ({ device, series, pane, value, ts, forced }) => {
      const late = this.engine.isLate(device.index, pane);
      if (forced !== null) {
        const finest = late ? this.engine.finestLeft(series.index, pane) : 0;
        counted.push({ ...forced, seriesId: series.id, ts, finest });
      }
      if (late) this.engine.addLate(device.index, series.index, pane, value, ts);
      else this.engine.add(device.index, series.index, pane, value, ts);
    });
    this.counts.replayed += counted.length;
    this.counts.replayedAgain += again;
    return counted;
  }

  /**
   * By level, the time (epoch milliseconds) before which its rows are expired; before `settleForced`. What a late
   * reading changes is then merged into the finest rows that are left.
   */
  setExpired(before: readonly number[]): void {
    this.engine.setExpired(before);
  }

  /** Whether the next `collect` may count forced readings. */
  get bringsBack(): boolean {
    return this.engine.hasLate || this.forced.waiting().length > 0;
  }

  /** For a fold that cannot trust replays to be of readings which *it* buried: `takeLate` names those from now on. */
  rememberLate(): void {
    this.forced.rememberLate();
  }
  /** Identities of the readings buried as late since the last call; only after `rememberLate`. */
  takeLate(): ReadonlySet<string> {
    return this.forced.takeLate();
  }

  /**
   * Readings without an identity of their own (no `seq`, or no `ts`) are duplicates only when their publish has the
   * DUP flag and the same client sent the same packet id and payload within the horizon [MQTT-3.3.1-1].
   */
  private repeatedPublish(
    device: Device,
    { mid, dup }: LineHead,
    readings: readonly Reading[],
    since: number,
  ): boolean {
    if (mid === undefined || !readings.some(isWithoutIdentity)) return false;
    const hash = this.reader.payloadHash;
    if (device.publishes < 0) device.publishes = this.publishes.make();
    const repeated = dup === true && this.publishes.has(device.publishes, mid, hash, since);
    this.publishes.put(device.publishes, mid, hash, this.clock, since);
    return repeated;
  }

  private device(site: string, id: string): Device {
    const known = this.devices.get(site, id);
    if (known !== undefined) return known;
    const device = new Device(this.devices.site(site) ?? site, id, this.engine.addDevice());
    this.devices.add(device);
    return device;
  }

  private seriesOf(device: Device, { metric }: Reading): Series {
    const known = device.series(metric);
    if (known !== undefined) return known;
    const series = this.addSeries(device, metric, 0);
    this.fresh.push(series);
    return series;
  }

  private addSeries(device: Device, name: string, id: number): Series {
    const index = this.engine.addSeries(device.index);
    if (this.arrivals.make() !== index) throw new Error('a series has one ring of arrivals');
    const metric = this.devices.metric(name) ?? name;
    const { site, device: owner } = device;
    const series: Series = { id, site, device: owner, metric, unit: undefined, index, before: undefined };
    device.add(series);
    this.series.push(series);
    return series;
  }

  private bury(
    reason: BuriedLine['reason'],
    offset: bigint,
    index: number,
    message: string,
    readings: number[] | null,
    device: string | null,
    at: number | null,
  ): void {
    this.buried.push({ reason, offset, index, line: this.reader.text, message, readings, device, at });
  }

  /** Series that need an `id` before `collect`. The caller sets it. */
  freshSeries(): readonly Series[] {
    return this.fresh.filter((series) => series.id === 0);
  }

  /**
   * Stored rows that must be given to `supply` before `collect`. The next `collect` belongs to the moment of this call:
   * nothing may be folded in between. Ask when forced readings are settled; a later call replaces an earlier one.
   * @param now the caller's monotonic clock, milliseconds
   * @param previous whether `RowSink.row` needs the previous row of those that are written again
   */
  neededRows(now: number, previous: boolean): NeededRows[] {
    return this.engine.neededRows(now, previous);
  }

  /** @param series number, of `NeededRows` */
  supply(series: number, level: number, figures: Figures): void {
    this.engine.supply(series, level, figures);
  }

  /** Key of a series by its number, of `NeededRows`; 0 when it has none yet. */
  idOf(series: number): number {
    return this.series[series]?.id ?? 0;
  }

  /** Whether `collect` would hand out rows or move the position. */
  hasWork(now: number, committed: bigint): boolean {
    return this.next !== committed || this.engine.hasWork(now);
  }

  /** Every row that changed since the last call. Handed-out rows count as written: write them or rebuild. */
  collect(sink: RowSink): void {
    if (this.forced.waiting().length > 0) throw new Error('forced readings were not settled before collect');
    const row = this.engine.windows.reader();
    this.engine.collect((level, series, window, previous, stored) => {
      row.window = window;
      sink.row(level, this.series[series] as Series, row, previous, stored);
    });
    this.fresh = [];
  }

  /** Arrivals before it are forgotten. */
  private horizon(): number {
    return alignDown(this.clock - this.options.dedupHorizonMs, ARRIVAL_TICK_MS);
  }

  /** Where the rows handed out so far stand in the log. */
  position(): Position {
    const since = this.horizon();
    while (this.marks.length > 1 && (this.marks[1] as { clock: number }).clock < since) this.marks.shift();
    const first = this.marks[0] as { offset: bigint };
    return {
      nextOffset: this.next,
      replayOffset: earlier(first.offset, this.next),
      sources: Object.fromEntries(this.sources),
    };
  }

  /** What `takeCounts` would answer. */
  get counted(): Readonly<Counts> {
    return this.counts;
  }
  takeCounts(): Counts {
    const counts = this.counts;
    this.counts = noCounts();
    return counts;
  }

  /** Dead letters since the last call; they must be durable before `position` is stored. */
  takeBuried(): readonly BuriedLine[] {
    const buried = this.buried;
    this.buried = [];
    return buried;
  }
}

const MARKS_PER_HORIZON = 64;

const isWithoutIdentity = ({ seq, stamped }: Reading): boolean => seq === undefined || !stamped;

function earlier(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}
