import type { DeviceTimes } from './device-times.ts';
import { alignDown, LEVEL_COUNT, LEVEL_MS, PANE_MS, TOP } from './levels.ts';
import type { Emit, OpenWindows } from './open-windows.ts';
import type { NeededRows, SuppliedRows } from './supplied-rows.ts';
import type { WindowOptions } from './types.ts';

/**
 * Readings for panes that were merged already. They wait for the next `collect`, which computes the windows above them
 * again from their rows.
 */
export class LateReadings {
  private readonly options: WindowOptions;
  private readonly open: OpenWindows;
  private readonly devices: DeviceTimes;
  private readonly supplied: SuppliedRows;
  /** By series: pane, value and event time in turn, in log order. */
  private readonly readings = new Map<number, number[]>();
  private expiredBefore: readonly number[] = LEVEL_MS.map(() => Number.NEGATIVE_INFINITY);
  /** By series, panes of `readings` that lie beyond the allowed lateness: rows below their windows may have expired. */
  private readonly beyond = new Map<number, Set<number>>();

  constructor(options: WindowOptions, open: OpenWindows, devices: DeviceTimes, supplied: SuppliedRows) {
    this.options = options;
    this.open = open;
    this.devices = devices;
    this.supplied = supplied;
  }

  add(series: number, pane: number, value: number, ts: number): void {
    const readings = this.readings.get(series);
    if (readings === undefined) this.readings.set(series, [pane, value, ts]);
    else readings.push(pane, value, ts);
  }

  /** The pane has readings that count although they are beyond the allowed lateness. */
  goesBeyond(series: number, pane: number): void {
    const panes = this.beyond.get(series);
    if (panes === undefined) this.beyond.set(series, new Set([pane]));
    else panes.add(pane);
  }

  /** Whether `goesBeyond` was called since the last `collect`. */
  get hasBeyond(): boolean {
    return this.beyond.size > 0;
  }

  has(series: number): boolean {
    return this.readings.size > 0 && this.readings.has(series);
  }

  /** See `WindowEngine.setExpired`. */
  setExpired(before: readonly number[]): void {
    this.expiredBefore = before;
  }

  /** The finest level at which a late reading of this pane finds its row; LEVEL_COUNT when all have expired. */
  finestLeft(series: number, pane: number): number {
    let level = 0;
    while (level < LEVEL_COUNT && this.isGone(series, pane, level)) level++;
    return level;
  }

  need(needed: NeededRows[]): void {
    for (const [series, readings] of this.readings) this.needFor(series, readings, needed);
  }

  /** The children, and the own rows, of every closed window above the panes; the children of the first open one. */
  private needFor(series: number, readings: readonly number[], needed: NeededRows[]): void {
    const closedTo = this.devices.closedTo(this.open.deviceOf(series));
    const seen = new Set<number>();
    for (let i = 0; i < readings.length; i += 3) {
      for (let level = 1; level < LEVEL_COUNT; level++) {
        const size = LEVEL_MS[level] as number;
        const from = alignDown(readings[i] as number, size);
        const place = from * LEVEL_COUNT + level;
        if (seen.has(place)) break;
        seen.add(place);
        needed.push({ series, level: level - 1, from, to: from + size });
        if (from + size > closedTo) break;
        // A window's own row is a child of the next level; the highest has none.
        if (level === TOP) needed.push({ series, level, from, to: from + size });
      }
    }
  }

  /** Adds the readings of merged panes, and computes every window above them again from its children's rows. */
  recompute(series: number, closedTo: number, emit: Emit): void {
    const { windows } = this.open;
    const readings = this.readings.get(series) as number[];
    const beyond = this.beyond.get(series);
    let children = this.closedRows(series, 0, closedTo);
    let changed = new Set<number>();
    for (let i = 0; i < readings.length; i += 3) {
      const start = readings[i] as number;
      if (beyond?.has(start) && this.isGone(series, start, 0)) continue;
      let pane = children.get(start);
      if (pane === undefined) {
        pane = windows.make(start);
        children.set(start, pane);
      }
      windows.add(pane, readings[i + 1] as number, readings[i + 2] as number);
      changed.add(start);
    }
    for (const start of ascending(changed)) emit(0, series, children.get(start) as number, null, true);
    for (let level = 1; level < LEVEL_COUNT; level++) {
      const size = LEVEL_MS[level] as number;
      const own = this.closedRows(series, level, closedTo);
      const parents = new Set(Array.from(changed, (start) => alignDown(start, size)));
      const starts = ascending(children.keys());
      changed = beyond === undefined ? new Set() : this.mergeLate(series, level, own, closedTo, beyond);
      for (const start of ascending(changed)) {
        parents.delete(start);
        emit(level, series, own.get(start) as number, this.supplied.get(series, level, start), true);
      }
      for (const parent of ascending(parents)) {
        const window = windows.make(parent);
        for (const start of starts)
          if (start >= parent && start < parent + size) windows.take(window, children.get(start) as number);
        if (parent + size > closedTo) {
          if (this.open.open(series, level) === 0) this.open.begin(series, level, parent, 0);
          windows.move(window, this.open.open(series, level));
        } else {
          const old = own.get(parent);
          if (old !== undefined) windows.release(old);
          emit(level, series, window, this.supplied.get(series, level, parent), true);
          own.set(parent, window);
          changed.add(parent);
        }
      }
      for (const child of children.values()) windows.release(child);
      children = own;
    }
    for (const child of children.values()) windows.release(child);
  }

  /**
   * Takes late readings straight into those windows of `level` whose children are not all there any more, in log
   * order. Counts, extremes, first, last and sketches are what they would have been; sums and deviations but for
   * rounding. Answers the windows that changed.
   */
  private mergeLate(
    series: number,
    level: number,
    own: Map<number, number>,
    closedTo: number,
    beyond: ReadonlySet<number>,
  ): Set<number> {
    const { windows } = this.open;
    const size = LEVEL_MS[level] as number;
    const childless = this.expiredBefore[level - 1] as number;
    const changed = new Set<number>();
    const readings = this.readings.get(series) as number[];
    for (let i = 0; i < readings.length; i += 3) {
      const pane = readings[i] as number;
      const start = alignDown(pane, size);
      if (start >= childless || start + size > closedTo || !beyond.has(pane)) continue;
      if (start >= this.keptFrom(series, level) || this.isGone(series, pane, level)) continue;
      const window = own.get(start) ?? windows.make(start);
      const reading = windows.make(pane);
      windows.add(reading, readings[i + 1] as number, readings[i + 2] as number);
      windows.take(window, reading);
      windows.release(reading);
      own.set(start, window);
      changed.add(start);
    }
    return changed;
  }

  /** Whether the row at `level` above a pane has expired, and is not kept as a child of a window that may change. */
  private isGone(series: number, pane: number, level: number): boolean {
    if (alignDown(pane, LEVEL_MS[level] as number) >= (this.expiredBefore[level] as number)) return false;
    const above = LEVEL_MS[level + 1];
    return above === undefined || alignDown(pane, above) < this.keptFrom(series, level + 1);
  }

  /**
   * Start of the first window of `level` that a reading may still change without a replay: its children are stored
   * even where they have expired, and it is computed from them again, so whatever counts must be in them.
   */
  private keptFrom(series: number, level: number): number {
    const { outOfOrdernessMs, allowedLatenessMs } = this.options;
    const device = this.open.deviceOf(series);
    const watermark = this.devices.newest(device) - outOfOrdernessMs;
    const may = Math.min(watermark - allowedLatenessMs - PANE_MS, this.devices.closedTo(device));
    return alignDown(may, LEVEL_MS[level] as number);
  }

  /** The supplied rows of windows that had closed, loaded; the caller releases them. */
  private closedRows(series: number, level: number, closedTo: number): Map<number, number> {
    const loaded = new Map<number, number>();
    for (const [start, figures] of this.supplied.of(series, level) ?? [])
      if (start + (LEVEL_MS[level] as number) <= closedTo) loaded.set(start, this.open.windows.load(figures));
    return loaded;
  }

  clear(): void {
    this.readings.clear();
    this.beyond.clear();
  }
}

function ascending(starts: Iterable<number>): number[] {
  return [...starts].sort((a, b) => a - b);
}
