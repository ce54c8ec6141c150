import { grown } from './columns.ts';
import {
  CLOSED_TO,
  DEVICE_FLAGS,
  DEVICE_FLOATS,
  DEVICE_WORDS,
  DeviceTimes,
  NEWEST,
  NONE,
  OPEN,
  TOUCHED,
  TOUCHED_AT,
  WRITTEN_TO,
} from './device-times.ts';
import { LateReadings } from './late-readings.ts';
import { alignDown, LEVEL_COUNT, LEVEL_MS, PANE_MS, TOP } from './levels.ts';
import { type Emit, OpenWindows, SECOND_MS } from './open-windows.ts';
import { type NeededRows, SuppliedRows } from './supplied-rows.ts';
import type { WindowOptions } from './types.ts';
import type { Figures } from './window.ts';
import type { WindowPool } from './window-pool.ts';

/** Series whose rows are handed out in one collect because their device is silent: a fleet may fall silent at once. */
const SILENT_SERIES = 2_000;

/** What `fold` did with a reading. */
export const LATE = 0;
export const STORED = 1;
/** Stored in a window that had closed. */
export const MERGED = 2;

/** Lowest starts of the rows, per level, that bring the open windows of a device with this watermark back. */
export function openFloors(watermark: number): number[] {
  return LEVEL_MS.map((_, level) => alignDown(watermark, LEVEL_MS[Math.min(level + 1, TOP)] as number));
}

export function paneOf(ts: number): number {
  return alignDown(ts, PANE_MS);
}

/**
 * The windows of one partition, by the numbers of devices and series. Those that the watermark of their device has not
 * passed are in memory (`OpenWindows`): a watermark only grows, so they close in start order, and the figures are the
 * same bits as those of a recomputation from rows. A reading for a pane that was merged already waits for `collect`,
 * which recomputes the windows above it from their rows (`LateReadings`): `neededRows` names them, `supply` brings them.
 */
export class WindowEngine {
  private readonly options: WindowOptions;
  private readonly devices = new DeviceTimes();
  private readonly supplied = new SuppliedRows();
  private readonly open: OpenWindows;
  private readonly late: LateReadings;
  /** Devices with readings since the last collect: the first `touchedCount` of these. */
  private touched = new Uint32Array(16);
  private touchedCount = 0;
  /** Silent devices whose open windows the next collect hands out. */
  private silent: number[] = [];

  constructor(options: WindowOptions) {
    this.options = options;
    this.open = new OpenWindows(options.outOfOrdernessMs, this.devices, this.supplied);
    this.late = new LateReadings(options, this.open, this.devices, this.supplied);
  }

  get windows(): WindowPool {
    return this.open.windows;
  }

  addDevice(): number {
    const device = this.devices.add();
    if (device >= this.touched.length) this.touched = grown(this.touched, device + 1);
    return device;
  }

  addSeries(device: number): number {
    return this.open.addSeries(device);
  }

  /** Adds a reading to its pane: LATE (nothing happened), STORED or MERGED. */
  fold(device: number, series: number, ts: number, value: number, now: number): number {
    const pane = paneOf(ts);
    if (this.isLate(device, pane)) return LATE;
    const how = this.add(device, series, pane, value, ts);
    this.touch(device, pane, now);
    return how;
  }

  isLate(device: number, pane: number): boolean {
    const { allowedLatenessMs, outOfOrdernessMs } = this.options;
    return pane + PANE_MS + allowedLatenessMs <= this.devices.newest(device) - outOfOrdernessMs;
  }

  /** As `fold`, for a reading that is not late, of a device that is touched. */
  add(device: number, series: number, pane: number, value: number, ts: number): number {
    if (pane + PANE_MS <= this.devices.closedTo(device)) {
      this.late.add(series, pane, value, ts);
      return MERGED;
    }
    this.open.add(series, pane, value, ts);
    return STORED;
  }

  /** As `add`, for a reading that counts although it is late. */
  addLate(device: number, series: number, pane: number, value: number, ts: number): void {
    this.add(device, series, pane, value, ts);
    this.late.goesBeyond(series, pane);
  }

  /** The finest level at which a late reading of this pane finds its row; LEVEL_COUNT when all have expired. */
  finestLeft(series: number, pane: number): number {
    return this.late.finestLeft(series, pane);
  }

  get hasLate(): boolean {
    return this.late.hasBeyond;
  }

  /**
   * Windows of a level that start before its time here have lost their rows, or are about to. A reading that counts
   * although it is late writes none of them again, and goes straight into the rows of the window above.
   */
  setExpired(before: readonly number[]): void {
    this.late.setExpired(before);
  }

  touch(device: number, pane: number, now: number): void {
    const at = device * DEVICE_FLOATS;
    if (pane > (this.devices.floats[at + NEWEST] as number)) this.devices.floats[at + NEWEST] = pane;
    this.devices.floats[at + TOUCHED_AT] = now;
    const flags = device * DEVICE_WORDS + DEVICE_FLAGS;
    if (((this.devices.words[flags] as number) & TOUCHED) === 0) {
      this.devices.words[flags] = TOUCHED | OPEN;
      this.touched[this.touchedCount++] = device;
    }
  }

  private isSilent(device: number, now: number): boolean {
    if (((this.devices.words[device * DEVICE_WORDS + DEVICE_FLAGS] as number) & OPEN) === 0) return false;
    const touchedAt = this.devices.floats[device * DEVICE_FLOATS + TOUCHED_AT] as number;
    return now - touchedAt >= this.options.idleTimeoutMs;
  }

  /** Whether `collect` would hand out rows. */
  hasWork(now: number): boolean {
    if (this.touchedCount > 0) return true;
    for (let device = 0; device < this.devices.count; device++) if (this.isSilent(device, now)) return true;
    return false;
  }

  /**
   * Rows that must be supplied before `collect`, which belongs to the moment of this call: nothing may be folded in
   * between. A later call replaces an earlier one.
   * @param previous whether rows that are written again are wanted too, for `Emit`
   */
  neededRows(now: number, previous: boolean): NeededRows[] {
    const needed: NeededRows[] = [];
    this.supplied.clear();
    this.silent = [];
    for (let device = 0, rest = SILENT_SERIES; device < this.devices.count && rest > 0; device++) {
      if (!this.isSilent(device, now)) continue;
      this.silent.push(device);
      rest -= this.count(device);
    }
    this.late.need(needed);
    if (previous) {
      const silent = new Set(this.silent);
      for (const device of silent) this.needPrevious(device, true, needed);
      for (let i = 0; i < this.touchedCount; i++) {
        const device = this.touched[i] as number;
        if (!silent.has(device)) this.needPrevious(device, false, needed);
      }
    }
    return needed;
  }

  private needPrevious(device: number, silent: boolean, needed: NeededRows[]): void {
    const at = device * DEVICE_FLOATS;
    const writtenTo = this.devices.floats[at + WRITTEN_TO] as number;
    const closedTo = this.devices.floats[at + CLOSED_TO] as number;
    if (writtenTo + (LEVEL_MS[TOP] as number) <= closedTo) return;
    const watermark = (this.devices.floats[at + NEWEST] as number) - this.options.outOfOrdernessMs;
    for (let series = this.devices.first(device); series !== NONE; series = this.open.next(series)) {
      for (let level = 1; level < LEVEL_COUNT; level++) {
        const size = LEVEL_MS[level] as number;
        const from = alignDown(closedTo, size);
        const last = alignDown(writtenTo, size) + size;
        const to = silent ? last : Math.min(last, alignDown(watermark, size));
        const changes = (): boolean => this.late.has(series) || this.open.changed(series, level, from, to);
        if (from < to && changes()) needed.push({ series, level, from, to });
      }
    }
  }

  /** Brings a row that `neededRows` named. */
  supply(series: number, level: number, figures: Figures): void {
    this.supplied.put(series, level, figures);
  }

  /** Hands out every row that changed, closes what the watermarks passed, and shows what silent devices left open. */
  collect(emit: Emit): void {
    for (let i = 0; i < this.touchedCount; i++) this.collectDevice(this.touched[i] as number, emit);
    this.touchedCount = 0;
    for (const device of this.silent) {
      const writtenTo = this.devices.floats[device * DEVICE_FLOATS + WRITTEN_TO] as number;
      for (let series = this.devices.first(device); series !== NONE; series = this.open.next(series)) {
        this.open.show(series, (level, one, window) => {
          const start = this.windows.start(window);
          emit(level, one, window, this.supplied.get(one, level, start), start <= writtenTo);
        });
      }
      this.devices.floats[device * DEVICE_FLOATS + WRITTEN_TO] = this.devices.newest(device);
      this.devices.words[device * DEVICE_WORDS + DEVICE_FLAGS] = 0;
    }
    this.silent = [];
    this.supplied.clear();
    this.late.clear();
    this.open.endCollect();
  }

  private collectDevice(device: number, emit: Emit): void {
    const at = device * DEVICE_FLOATS;
    const watermark = (this.devices.floats[at + NEWEST] as number) - this.options.outOfOrdernessMs;
    const closedTo = this.devices.floats[at + CLOSED_TO] as number;
    const closing = alignDown(watermark, SECOND_MS);
    this.devices.words[device * DEVICE_WORDS + DEVICE_FLAGS] = OPEN;
    for (let series = this.devices.first(device); series !== NONE; series = this.open.next(series)) {
      if (this.late.has(series)) this.late.recompute(series, closedTo, emit);
      this.open.emitPanes(series, emit);
      if (closing > closedTo) this.open.closePanes(series, closing, emit);
    }
    this.devices.floats[at + CLOSED_TO] = closing;
  }

  /** Where a device stood at the last commit. */
  restoreDevice(device: number, newest: number, now: number): void {
    const at = device * DEVICE_FLOATS;
    this.devices.floats[at + NEWEST] = newest;
    this.devices.floats[at + CLOSED_TO] = alignDown(newest - this.options.outOfOrdernessMs, SECOND_MS);
    this.devices.floats[at + TOUCHED_AT] = now;
  }

  /** The open windows of a series of a restored device, from its rows at or above `openFloors`. */
  restoreSeries(
    series: number,
    rows: readonly { readonly level: number; readonly figures: Figures }[],
  ): void {
    if (this.open.restore(series, rows)) return;
    this.devices.words[this.open.deviceOf(series) * DEVICE_WORDS + DEVICE_FLAGS] = OPEN;
  }

  private count(device: number): number {
    let n = 0;
    for (let series = this.devices.first(device); series !== NONE; series = this.open.next(series)) n++;
    return n;
  }
}
