import { ArrivalRing } from './dedup.ts';
import { alignDown, LEVEL_COUNT, LEVEL_MS, PANE_MS, TOP } from './levels.ts';
import { type Figures, Window } from './window.ts';

/** Readings of one pane that lies below what memory holds: value and event time alternate, in log order. */
type ColdReadings = number[];

/** A stretch of stored rows that memory needs before it can go on. */
export interface ColdRange {
  readonly series: Series;
  readonly level: number;
  /** Inclusive, epoch milliseconds. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

export type Emit = (level: number, series: Series, window: Window, stored: boolean) => void;

/** One metric of one device: the windows of each level that are still needed as children of an open window. */
export class Series {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  /** Key in the database; 0 until it is allocated. */
  id = 0;
  unit: string | undefined;
  readonly arrivals = new ArrivalRing();
  /** Per level, in start order. */
  readonly levels: Window[][] = [];
  /** Panes that changed since the last collect. */
  readonly dirty: Window[] = [];
  cold: Map<number, ColdReadings> | null = null;
  /** End of the first window that waits to close. */
  nextClose = Number.POSITIVE_INFINITY;
  /** A window that has a row already was touched. */
  private rewrite = false;
  private current: Window | null = null;

  constructor(site: string, device: string, metric: string) {
    this.site = site;
    this.device = device;
    this.metric = metric;
    for (let level = 0; level < LEVEL_COUNT; level++) this.levels.push([]);
  }

  /** Adds a reading to a pane that memory holds (pane start at or above the device's floor). */
  add(paneStart: number, value: number, ts: number): void {
    let pane = this.current;
    if (pane === null || pane.start !== paneStart) {
      pane = this.window(0, paneStart);
      this.current = pane;
    }
    if (!pane.stale) {
      pane.stale = true;
      this.dirty.push(pane);
    }
    pane.add(value, ts);
  }

  /** Keeps a reading for a pane whose row, if there is one, must be loaded first. */
  addCold(paneStart: number, value: number, ts: number): void {
    this.cold ??= new Map();
    const readings = this.cold.get(paneStart);
    if (readings === undefined) this.cold.set(paneStart, [value, ts]);
    else readings.push(value, ts);
  }

  /** The window of `level` at `start`; made when memory does not have it. */
  window(level: number, start: number): Window {
    const windows = this.levels[level] as Window[];
    let at = windows.length;
    while (at > 0 && (windows[at - 1] as Window).start > start) at--;
    const found = windows[at - 1];
    if (found !== undefined && found.start === start) return found;
    const made = new Window(start);
    if (at === windows.length) windows.push(made);
    else windows.splice(at, 0, made);
    return made;
  }

  /** Stored rows needed by the cold readings: the children of every touched window that memory does not hold. */
  coldRanges(floors: readonly number[], out: ColdRange[]): void {
    if (this.cold === null || this.id === 0) return;
    const seen = new Set<string>();
    for (const pane of this.cold.keys()) {
      for (let level = 1; level < LEVEL_COUNT; level++) {
        const size = LEVEL_MS[level] as number;
        const from = alignDown(pane, size);
        if (from >= (floors[level - 1] as number)) break;
        const key = `${level}:${from}`;
        if (seen.has(key)) continue;
        seen.add(key);
        out.push({ series: this, level: level - 1, from, to: from + size });
        // Its own row is a child of the next level; the highest has none.
        if (level === TOP) out.push({ series: this, level, from, to: from + size });
      }
    }
  }

  /** Takes a stored row into memory, unless memory has the window already. */
  supply(level: number, figures: Figures): void {
    const windows = this.levels[level] as Window[];
    const at = windows.findIndex((window) => window.start >= figures.start);
    if (at < 0) windows.push(Window.restore(figures));
    else if ((windows[at] as Window).start !== figures.start) windows.splice(at, 0, Window.restore(figures));
  }

  /** After a restore: a window with children but no row of its own is still open. */
  markOpen(): void {
    for (let level = 0; level < TOP; level++) {
      for (const child of this.levels[level] as Window[]) {
        const size = LEVEL_MS[level + 1] as number;
        const start = alignDown(child.start, size);
        const parent = this.window(level + 1, start);
        if (parent.written || parent.stale) continue;
        parent.stale = true;
        this.nextClose = Math.min(this.nextClose, start + size);
      }
    }
  }

  /**
   * Hands out every row that changed, and brings higher windows up to date: one is computed again from its children
   * when the watermark passed its end, when its row exists already, or when the device is idle.
   */
  collect(watermark: number, idle: boolean, emit: Emit): void {
    if (this.cold !== null) {
      for (const [start, readings] of this.cold) {
        for (let i = 0; i < readings.length; i += 2)
          this.add(start, readings[i] as number, readings[i + 1] as number);
      }
      this.cold = null;
    }
    for (const pane of this.dirty) {
      emit(0, this, pane, pane.written);
      pane.written = true;
      pane.stale = false;
      this.touch(1, pane.start);
    }
    this.dirty.length = 0;
    if (watermark < this.nextClose && !idle && !this.rewrite) return;
    this.nextClose = Number.POSITIVE_INFINITY;
    this.rewrite = false;
    for (let level = 1; level < LEVEL_COUNT; level++) this.collectLevel(level, watermark, idle, emit);
    this.rewrite = false;
  }

  private collectLevel(level: number, watermark: number, idle: boolean, emit: Emit): void {
    const size = LEVEL_MS[level] as number;
    const children = this.levels[level - 1] as Window[];
    let next = 0;
    for (const window of this.levels[level] as Window[]) {
      if (!window.stale) continue;
      const end = window.start + size;
      if (end > watermark && !window.written && !idle) {
        if (end < this.nextClose) this.nextClose = end;
        continue;
      }
      window.clear();
      while (next < children.length && (children[next] as Window).start < window.start) next++;
      while (next < children.length && (children[next] as Window).start < end)
        window.take(children[next++] as Window);
      emit(level, this, window, window.written);
      window.previous = window.snapshot();
      window.written = true;
      window.stale = false;
      if (level < TOP) this.touch(level + 1, window.start);
    }
  }

  private touch(level: number, childStart: number): void {
    const size = LEVEL_MS[level] as number;
    const window = this.window(level, alignDown(childStart, size));
    window.stale = true;
    if (window.written) this.rewrite = true;
    else if (window.start + size < this.nextClose) this.nextClose = window.start + size;
  }

  /** Drops what no open window needs: per level, the windows before `floors`. */
  evict(floors: readonly number[]): void {
    for (let level = 0; level < LEVEL_COUNT; level++) {
      const windows = this.levels[level] as Window[];
      const floor = floors[level] as number;
      let n = 0;
      while (n < windows.length && (windows[n] as Window).start < floor) n++;
      if (n > 0) windows.splice(0, n);
    }
    if (this.current !== null && this.current.start < (floors[0] as number)) this.current = null;
  }
}

/** One device: its watermark decides for all its metrics. */
export class Device {
  readonly site: string;
  readonly device: string;
  readonly series = new Map<string, Series>();
  /** Start of its newest pane, epoch milliseconds. */
  newest = Number.NEGATIVE_INFINITY;
  /** Memory holds every window of a level that starts at or after its floor. */
  floors: number[] = new Array<number>(LEVEL_COUNT).fill(Number.NEGATIVE_INFINITY);
  publishes: ArrivalRing | null = null;
  /** Processing time of the last reading, on the caller's clock. */
  touchedAt = 0;
  touched = false;
  /** Windows wait to close. */
  open = false;

  constructor(site: string, device: string) {
    this.site = site;
    this.device = device;
  }

  /** Lowest starts that a device with this watermark still needs. */
  static floorsAt(watermark: number): number[] {
    return LEVEL_MS.map((_, level) => alignDown(watermark, LEVEL_MS[Math.min(level + 1, TOP)] as number));
  }

  collect(outOfOrdernessMs: number, idle: boolean, emit: Emit): void {
    const watermark = this.newest - outOfOrdernessMs;
    this.touched = false;
    this.open = false;
    for (const series of this.series.values()) {
      series.collect(watermark, idle, emit);
      if (series.nextClose !== Number.POSITIVE_INFINITY) this.open = true;
    }
    if (watermark === Number.NEGATIVE_INFINITY) return;
    // Only the eviction moves the floors, and only here, so that "at or above the floor" always means "in memory".
    // Coarser floors move only together with the finest, and none ever falls, because a watermark never does.
    if (alignDown(watermark, LEVEL_MS[1] as number) === this.floors[0]) return;
    const next = Device.floorsAt(watermark);
    this.floors = next;
    for (const series of this.series.values()) series.evict(next);
  }
}

/** A cold pane is one that starts below the device's lowest floor. */
export function isCold(device: Device, paneStart: number): boolean {
  return paneStart < (device.floors[0] as number);
}

export function paneOf(ts: number): number {
  return alignDown(ts, PANE_MS);
}
