import type { Envelope, Forced, Reading } from '@weir/reading';
import { ArrivalRing, hashText } from './dedup.ts';
import { type ForcedReading, ForcedReadings, lateIdentity } from './forced.ts';
import { PANE_MS } from './levels.ts';
import { isLineError, type ParsedLine, parseLine } from './line.ts';
import { type ColdRange, Device, isCold, paneOf, Series } from './series.ts';
import {
  type BuriedLine,
  type Counts,
  type LineObserver,
  noCounts,
  type Position,
  type RestoredSeries,
  type RowSink,
  type WindowOptions,
} from './types.ts';

/**
 * Everything that one partition's log says, folded in log order. The rows it hands out are a function of the log
 * alone, wherever it was cut into commits or restarted (`revision`, and how early the row of a silent device appears,
 * are not part of that promise). Pure: no clock, no I/O; the caller loads and stores rows.
 */
export class PartitionState {
  private readonly options: WindowOptions;
  private readonly sites = new Map<string, Map<string, Device>>();
  private readonly all: Device[] = [];
  private readonly sources: Map<string, number>;
  /** Largest arrival time so far; grows only. */
  private clock = Number.NEGATIVE_INFINITY;
  /** Arrival clock before the record at `offset`; the first one is where a replay would begin. */
  private readonly marks: { offset: bigint; clock: number }[];
  private next: bigint;
  private readonly fresh: Series[] = [];
  private coldSeries = new Set<Series>();
  private counts = noCounts();
  private buried: BuriedLine[] = [];
  private readonly observers: LineObserver[] = [];
  private readonly outcome = { duplicates: 0, late: 0 };
  private readonly forced = new ForcedReadings<Series>();
  /** Start of the newest pane of any device, epoch milliseconds. */
  newest = Number.NEGATIVE_INFINITY;

  constructor(options: WindowOptions, position: Position) {
    this.options = options;
    this.next = position.nextOffset;
    this.marks = [{ offset: position.replayOffset, clock: Number.NEGATIVE_INFINITY }];
    this.sources = new Map(Object.entries(position.sources));
  }

  get nextOffset(): bigint {
    return this.next;
  }

  /** Tells `observer` of every line from now on. */
  observe(observer: LineObserver): void {
    this.observers.push(observer);
  }

  /** Puts the stored rows back: for each series at least those at or above `Device.floorsAt` of its watermark. */
  restore(restored: readonly RestoredSeries[]): void {
    for (const { site, device, newest } of restored) {
      const found = this.device(site, device);
      if (newest > found.newest) found.newest = newest;
      if (newest > this.newest) this.newest = newest;
    }
    for (const device of this.all) {
      if (device.newest !== Number.NEGATIVE_INFINITY)
        device.floors = Device.floorsAt(device.newest - this.options.outOfOrdernessMs);
    }
    for (const stored of restored) {
      const device = this.device(stored.site, stored.device);
      const series = new Series(stored.site, stored.device, stored.metric);
      series.id = stored.id;
      series.unit = stored.unit ?? undefined;
      device.series.set(stored.metric, series);
      for (const { level, figures } of stored.rows) {
        if (figures.start >= (device.floors[level] as number)) series.supply(level, figures);
      }
      series.markOpen();
      if (series.nextClose !== Number.POSITIVE_INFINITY) device.open = true;
    }
  }

  /**
   * Folds the lines of one record. A record below `nextOffset` is in the rows already and only restores the duplicate
   * horizon. Returns the number of readings in the record that were folded or buried.
   * @param now the caller's monotonic clock, milliseconds; decides only when a device counts as idle
   */
  apply(offset: bigint, lines: readonly string[], now: number): number {
    const replay = offset < this.next;
    const before = this.clock;
    let readings = 0;
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index] as string;
      let parsed: ParsedLine;
      try {
        parsed = parseLine(line, this.sites);
      } catch (error) {
        if (!isLineError(error)) throw error;
        if (replay) continue;
        this.bury('decode', offset, index, line, error.message, null, null, null);
        this.counts.undecodable++;
        continue;
      }
      readings += this.applyParsed(offset, index, line, parsed, replay, now);
    }
    const last = this.marks[this.marks.length - 1] as { clock: number };
    if (before >= last.clock + this.options.dedupHorizonMs / MARKS_PER_HORIZON)
      this.marks.push({ offset, clock: before });
    if (!replay) this.next = offset + 1n;
    return readings;
  }

  private applyParsed(
    offset: bigint,
    index: number,
    line: string,
    { envelope, known, interpretation: { readings: sent, refusals } }: ParsedLine,
    replay: boolean,
    now: number,
  ): number {
    const { at, edge, n } = envelope;
    const readings = this.options.derive?.(envelope, sent) ?? sent;
    if (envelope.forced !== undefined) return replay ? 0 : this.park(offset, envelope, readings, now);
    if (at > this.clock) this.clock = at;
    const since = this.clock - this.options.dedupHorizonMs;
    const device = known ?? this.device(envelope.site, envelope.device);
    const repetition = !replay && n <= (this.sources.get(edge) ?? -1);
    const resent = replay || repetition;
    if (!resent) this.sources.set(edge, n);
    const repeated = this.repeatedPublish(device, envelope, line, readings, since);
    let late: number[] | null = null;
    let duplicates = 0;
    for (let i = 0; i < readings.length; i++) {
      const reading = readings[i] as Reading;
      const series = this.series(device, reading);
      let duplicate = repeated;
      if (reading.stamped && reading.seq !== undefined) {
        duplicate = !resent && series.arrivals.has(reading.ts, reading.seq, since);
        series.arrivals.put(reading.ts, reading.seq, this.clock, since, this.options.dedupCount);
      }
      if (resent || duplicate) {
        if (!replay) duplicates++;
      } else if (!this.fold(device, series, reading, now)) {
        late ??= [];
        late.push(i);
        this.forced.late(envelope, reading, i);
      }
    }
    this.counts.duplicate += duplicates;
    if (!repetition) this.tell(envelope, readings, offset, replay, duplicates, late?.length ?? 0);
    if (replay) return 0;
    if (late !== null) {
      const text = `later than the allowed lateness of ${this.options.allowedLatenessMs} ms behind its device's watermark`;
      this.bury('late', offset, index, line, text, late, envelope.device, at);
      this.counts.late += late.length;
    }
    const refusal = refusals[0];
    if (refusal !== undefined && !resent) {
      const { reason, message } = refusal;
      this.bury(reason as BuriedLine['reason'], offset, index, line, message, null, envelope.device, at);
      this.counts.undecodable++;
    }
    return readings.length;
  }

  private tell(
    envelope: Envelope,
    readings: readonly Reading[],
    offset: bigint,
    replayed: boolean,
    duplicates: number,
    late: number,
  ): void {
    this.outcome.duplicates = duplicates;
    this.outcome.late = late;
    for (const observer of this.observers) observer.line(envelope, readings, offset, replayed, this.outcome);
  }

  /** False when the reading is too late for its pane. */
  private fold(device: Device, series: Series, reading: Reading, now: number): boolean {
    const { ts, value } = reading;
    const pane = paneOf(ts);
    const { outOfOrdernessMs, allowedLatenessMs } = this.options;
    const watermark = device.newest - outOfOrdernessMs;
    if (pane + PANE_MS + allowedLatenessMs <= watermark) return false;
    if (this.forced.holds(series, pane)) {
      this.forced.park({ series, pane, ts, value, forced: null });
    } else if (isCold(device, pane)) {
      series.addCold(pane, value, ts);
      this.coldSeries.add(series);
      this.counts.merged++;
    } else {
      series.add(pane, value, ts);
    }
    this.touch(device, series, reading, pane, now);
    this.counts.stored++;
    return true;
  }

  private touch(device: Device, series: Series, reading: Reading, pane: number, now: number): void {
    if (pane > device.newest) {
      device.newest = pane;
      if (pane > this.newest) this.newest = pane;
    }
    if (series.unit === undefined && reading.unit !== undefined) series.unit = reading.unit;
    device.touched = true;
    device.touchedAt = now;
  }

  /**
   * A line that a replay sent. Nothing of its transport counts (its `edge` and `n` were folded long ago), nor is it an
   * arrival of the device: a rejected reading is remembered to recognise the device's repetition, and a replay is none.
   */
  private park(offset: bigint, envelope: Envelope, readings: readonly Reading[], now: number): number {
    const { offset: origin, readings: indexes } = envelope.forced as Forced;
    const device = this.device(envelope.site, envelope.device);
    for (const index of indexes) {
      const reading = readings[index];
      // A derived metric that is no longer defined has no reading any more.
      if (reading === undefined) continue;
      const series = this.series(device, reading);
      const pane = paneOf(reading.ts);
      const forced = { identity: lateIdentity(envelope, reading, index), offset, origin: BigInt(origin) };
      this.forced.park({ series, pane, ts: reading.ts, value: reading.value, forced });
      // As if it counted: if it did before, its pane is a row already, and nothing here says more than that row.
      this.touch(device, series, reading, pane, now);
    }
    return indexes.length;
  }

  /** Forced readings whose identity must be looked up before `collect`. */
  forcedReadings(): readonly ForcedReading[] {
    return this.forced.waiting();
  }

  /**
   * Answers `forcedReadings`, before `coldRanges` and `collect`.
   * @param refused identities that were counted before, or were never buried
   * @returns the readings that count now: keep their identities in the transaction of the rows
   */
  settleForced(refused: ReadonlySet<string>): readonly ForcedReading[] {
    const settled = this.forced.settle(refused, ({ series, pane, value, ts }) => {
      series.addCold(pane, value, ts);
      this.coldSeries.add(series);
    });
    this.counts.replayed += settled.counted.length;
    this.counts.replayedAgain += settled.refused;
    return settled.counted;
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
    envelope: Envelope,
    line: string,
    readings: readonly Reading[],
    since: number,
  ): boolean {
    const { mid } = envelope;
    if (mid === undefined || !readings.some((reading) => reading.seq === undefined || !reading.stamped))
      return false;
    const start = line.indexOf(',"payload');
    const hash = hashText(line, start);
    device.publishes ??= new ArrivalRing();
    const repeated = envelope.dup === true && device.publishes.has(mid, hash, since);
    device.publishes.put(mid, hash, this.clock, since, this.options.dedupCount);
    return repeated;
  }

  private device(site: string, id: string): Device {
    let devices = this.sites.get(site);
    if (devices === undefined) {
      devices = new Map();
      this.sites.set(site, devices);
    }
    let device = devices.get(id);
    if (device === undefined) {
      device = new Device(site, id);
      devices.set(id, device);
      this.all.push(device);
    }
    return device;
  }

  private series(device: Device, reading: Reading): Series {
    let series = device.series.get(reading.metric);
    if (series === undefined) {
      series = new Series(device.site, device.device, reading.metric);
      device.series.set(reading.metric, series);
      this.fresh.push(series);
    }
    return series;
  }

  private bury(
    reason: BuriedLine['reason'],
    offset: bigint,
    index: number,
    line: string,
    message: string,
    readings: number[] | null,
    device: string | null,
    at: number | null,
  ): void {
    this.buried.push({ reason, offset, index, line, message, readings, device, at });
  }

  /** Series that need an `id` before `collect`. The caller sets it. */
  freshSeries(): readonly Series[] {
    return this.fresh.filter((series) => series.id === 0);
  }

  /** Stored rows that must be supplied before `collect`, for late readings. Ask after the fresh series have ids. */
  coldRanges(): ColdRange[] {
    const ranges: ColdRange[] = [];
    for (const series of this.coldSeries) {
      const device = this.device(series.site, series.device);
      series.coldRanges(device.floors, ranges);
    }
    return ranges;
  }

  /** Whether `collect` would hand out rows or move the position. */
  hasWork(now: number, committed: bigint): boolean {
    return this.next !== committed || this.all.some((device) => device.open && this.isIdle(device, now));
  }

  private isIdle(device: Device, now: number): boolean {
    return now - device.touchedAt >= this.options.idleTimeoutMs;
  }

  /** Every row that changed since the last call. Handed-out rows count as written: write them or rebuild. */
  collect(now: number, sink: RowSink): void {
    if (this.forced.waiting().length > 0) throw new Error('forced readings were not settled before collect');
    // A window below the floor may have a row that memory does not know.
    for (const device of this.all) {
      const idle = device.open && this.isIdle(device, now);
      if (!device.touched && !idle) continue;
      const floors = device.floors;
      device.collect(this.options.outOfOrdernessMs, idle, (level, series, window, stored) =>
        sink.row(
          level,
          series,
          window,
          level === 0 ? null : window.previous,
          stored || window.start < (floors[level] as number),
        ),
      );
    }
    this.coldSeries = new Set();
    this.fresh.length = 0;
  }

  /** Where the rows handed out so far stand in the log. */
  position(): Position {
    const since = this.clock - this.options.dedupHorizonMs;
    while (this.marks.length > 1 && (this.marks[1] as { clock: number }).clock < since) this.marks.shift();
    const first = this.marks[0] as { offset: bigint };
    return {
      nextOffset: this.next,
      replayOffset: earlier(first.offset, this.next),
      sources: Object.fromEntries(this.sources),
    };
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

function earlier(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}
