import { grown } from './columns.ts';
import { DEVICE_FLOATS, type DeviceTimes, WRITTEN_TO } from './device-times.ts';
import { alignDown, LEVEL_COUNT, LEVEL_MS, PANE_MS, TOP } from './levels.ts';
import type { SuppliedRows } from './supplied-rows.ts';
import type { Figures } from './window.ts';
import { WindowPool } from './window-pool.ts';

/** Of a series: end of the open window above the second level that closes first, then words. */
const SERIES_FLOATS = 4;
const SERIES_WORDS = 8;
const NEXT_CLOSE = 0;
const DEVICE = 2;
const NEXT_SERIES = 3;
/** The pane made last; each links to the one made before it. */
const PANE = 4;
const PANES = 5;
/**
 * The first of its slots: some for panes, then one for the open window of each level above SECOND. They lie GROUP apart:
 * between them are those of its neighbours, so that readings of one second of many series fill whole cache lines.
 */
const BLOCK = 6;
const GROUP = 64;
/** Bit `level`: that window is open. Bits from PANE_BITS up: that pane of the block is in use. */
const STATE = 7;
const PANE_BITS = 8;
const MOST_BLOCK_PANES = 16;
/** A pane begins before the one that was made before it. */
const UNSORTED = 1 << 6;
/** A pane behind one that did not change has changed. */
const DEEP = 1 << 7;

/**
 * Panes are merged when the watermark passes the end of their window of this level, all in one go: until then a pane
 * of one reading costs half a cache line, and the window above it nothing.
 */
const SECOND = 1;
export const SECOND_MS = LEVEL_MS[SECOND] as number;

/** Of a pane: it changed since its row was handed out. */
const DIRTY = 1;
/** Of a pane: it has a row. */
const WRITTEN = 2;
/** Nothing changed since the rows of all windows above were handed out for a silent device. */
const SHOWN = 4;

/** Panes of a series that are looked for one by one; beyond that there is an index. */
const FEW_PANES = 32;

/** @param window slot in `OpenWindows.windows` */
export type Emit = (
  level: number,
  series: number,
  window: number,
  previous: Figures | null,
  stored: boolean,
) => void;

/**
 * The open windows of each series of a partition: the panes of the windows of level SECOND that its device's watermark has
 * not passed, and at most one open window of each level above, which took its children as they closed.
 */
export class OpenWindows {
  readonly windows = new WindowPool();
  private readonly devices: DeviceTimes;
  private readonly supplied: SuppliedRows;
  private seriesFloats = new Float64Array(SERIES_FLOATS << 4);
  private series = new Uint32Array(this.seriesFloats.buffer);
  private seriesCount = 0;
  /** Panes that a block has room for: those that are open at a time, and one more. Others have slots of their own. */
  private readonly blockPanes: number;
  private readonly blockMask: number;
  private group = 0;
  /** The window of level SECOND that is being made; it closes at once. */
  private readonly second: number;
  private readonly manyPanes = new Map<number, Map<number, number>>();
  /** Panes of one series in start order. */
  private order = new Uint32Array(64);

  constructor(outOfOrdernessMs: number, devices: DeviceTimes, supplied: SuppliedRows) {
    this.devices = devices;
    this.supplied = supplied;
    const open = Math.ceil((SECOND_MS + outOfOrdernessMs) / PANE_MS);
    this.blockPanes = Math.min(MOST_BLOCK_PANES, open + 1);
    this.blockMask = (1 << this.blockPanes) - 1;
    this.second = this.windows.block(1, 1);
  }

  addSeries(device: number): number {
    const series = this.seriesCount++;
    if (this.seriesCount * SERIES_FLOATS > this.seriesFloats.length) {
      this.seriesFloats = grown(this.seriesFloats, this.seriesCount * SERIES_FLOATS);
      this.series = new Uint32Array(this.seriesFloats.buffer);
    }
    this.seriesFloats[series * SERIES_FLOATS + NEXT_CLOSE] = Number.POSITIVE_INFINITY;
    if (series % GROUP === 0) {
      const parents = TOP - SECOND;
      this.group = this.windows.block(GROUP * (this.blockPanes + parents), GROUP * parents);
    }
    this.series[series * SERIES_WORDS + BLOCK] = this.group + (series % GROUP);
    this.series[series * SERIES_WORDS + DEVICE] = device;
    this.series[series * SERIES_WORDS + NEXT_SERIES] = this.devices.first(device);
    this.devices.setFirst(device, series);
    return series;
  }

  deviceOf(series: number): number {
    return this.series[series * SERIES_WORDS + DEVICE] as number;
  }
  /** The series that its device got before; NONE at the first. */
  next(series: number): number {
    return this.series[series * SERIES_WORDS + NEXT_SERIES] as number;
  }

  /** Adds a reading to a pane that is open. */
  add(series: number, pane: number, value: number, ts: number): void {
    const { windows } = this;
    const at = series * SERIES_WORDS;
    const last = this.series[at + PANE] as number;
    const start = last === 0 ? Number.NEGATIVE_INFINITY : windows.start(last);
    const state = this.series[at + STATE] as number;
    if (start < pane && (state & UNSORTED) === 0) {
      windows.add(this.newPane(series, pane), value, ts);
      return;
    }
    let window = last;
    if (start !== pane) {
      window = this.pane(series, pane);
      this.series[at + STATE] = (this.series[at + STATE] as number) | DEEP;
    }
    windows.setFlags(window, (windows.flags(window) & WRITTEN) | DIRTY);
    windows.add(window, value, ts);
  }

  private pane(series: number, start: number): number {
    const at = series * SERIES_WORDS;
    const { windows } = this;
    const held = this.series[at + PANES] as number;
    if (held <= FEW_PANES) {
      const sorted = ((this.series[at + STATE] as number) & UNSORTED) === 0;
      for (let window = this.series[at + PANE] as number; window !== 0; window = windows.link(window)) {
        const other = windows.start(window);
        if (other === start) return window;
        if (sorted && other < start) break;
      }
    } else {
      let index = this.manyPanes.get(series);
      if (index === undefined) {
        index = new Map();
        for (let window = this.series[at + PANE] as number; window !== 0; window = windows.link(window))
          index.set(windows.start(window), window);
        this.manyPanes.set(series, index);
      }
      const window = index.get(start);
      if (window !== undefined) return window;
    }
    return this.newPane(series, start);
  }

  private newPane(series: number, start: number): number {
    const made = this.makePane(series, start, DIRTY);
    if (this.manyPanes.size > 0) this.manyPanes.get(series)?.set(start, made);
    return made;
  }

  /** A slot of the series' block, or one of its own when the block is full; the first of the series' panes now. */
  private makePane(series: number, start: number, flags: number): number {
    const { windows } = this;
    const at = series * SERIES_WORDS;
    let state = this.series[at + STATE] as number;
    const before = this.series[at + PANE] as number;
    if (before !== 0 && windows.start(before) > start) state |= UNSORTED;
    const free = ~(state >>> PANE_BITS) & this.blockMask;
    let pane: number;
    if (free !== 0) {
      const place = 31 - Math.clz32(free & -free);
      state |= 1 << (PANE_BITS + place);
      pane = (this.series[at + BLOCK] as number) + place * GROUP;
      windows.begin(pane, start, flags);
    } else {
      pane = windows.make(start);
      windows.setFlags(pane, flags);
    }
    windows.setLink(pane, before);
    this.series[at + STATE] = state;
    this.series[at + PANE] = pane;
    this.series[at + PANES] = (this.series[at + PANES] as number) + 1;
    return pane;
  }

  private releasePane(series: number, pane: number): void {
    const at = series * SERIES_WORDS;
    const place = (pane - (this.series[at + BLOCK] as number)) / GROUP;
    if (place < 0 || place >= this.blockPanes) {
      this.windows.release(pane);
    } else {
      this.windows.drop(pane);
      this.series[at + STATE] = (this.series[at + STATE] as number) & ~(1 << (PANE_BITS + place));
    }
  }

  /** Slot of the open window of a level above SECOND, in use or not. */
  private place(series: number, level: number): number {
    const block = this.series[series * SERIES_WORDS + BLOCK] as number;
    return block + (this.blockPanes + level - SECOND - 1) * GROUP;
  }

  /** The open window of a level; 0: none, as always at level SECOND. */
  open(series: number, level: number): number {
    const state = this.series[series * SERIES_WORDS + STATE] as number;
    return (state & (1 << level)) === 0 ? 0 : this.place(series, level);
  }

  /** Begins the open window of a level; there must be none. */
  begin(series: number, level: number, start: number, flags: number): number {
    const at = series * SERIES_WORDS;
    const window = this.place(series, level);
    this.windows.begin(window, start, flags);
    this.series[at + STATE] = (this.series[at + STATE] as number) | (1 << level);
    const end = start + (LEVEL_MS[level] as number);
    if (end < (this.seriesFloats[series * SERIES_FLOATS + NEXT_CLOSE] as number))
      this.seriesFloats[series * SERIES_FLOATS + NEXT_CLOSE] = end;
    return window;
  }

  /** Puts the panes of a series into `order`, by start, and returns how many they are. */
  private sortPanes(series: number): number {
    const { windows } = this;
    const at = series * SERIES_WORDS;
    const n = this.series[at + PANES] as number;
    if (n > this.order.length) this.order = new Uint32Array(2 * n);
    const { order } = this;
    let window = this.series[at + PANE] as number;
    for (let i = n - 1; i >= 0; i--) {
      order[i] = window;
      window = windows.link(window);
    }
    if (((this.series[at + STATE] as number) & UNSORTED) !== 0) {
      order.subarray(0, n).sort((a, b) => windows.start(a) - windows.start(b));
      this.keepPanes(series, 0, n);
    }
    return n;
  }

  /** Whether an open window of this level in [from, to) differs from the row that silence wrote. */
  changed(series: number, level: number, from: number, to: number): boolean {
    const { windows } = this;
    const differs = (window: number): boolean =>
      window !== 0 &&
      windows.start(window) >= from &&
      windows.start(window) < to &&
      (windows.flags(window) & SHOWN) === 0;
    for (let below = 1; below <= level; below++) if (differs(this.open(series, below))) return true;
    for (
      let window = this.series[series * SERIES_WORDS + PANE] as number;
      window !== 0;
      window = windows.link(window)
    )
      if (differs(window)) return true;
    return false;
  }

  /** Hands out the panes that changed: the newest ones, unless one behind them changed too. */
  emitPanes(series: number, emit: Emit): void {
    const { windows } = this;
    const at = series * SERIES_WORDS;
    const deep = ((this.series[at + STATE] as number) & DEEP) !== 0;
    for (let pane = this.series[at + PANE] as number; pane !== 0; pane = windows.link(pane)) {
      const flags = windows.flags(pane);
      if ((flags & DIRTY) !== 0) {
        emit(0, series, pane, null, (flags & WRITTEN) !== 0);
        windows.setFlags(pane, (flags & SHOWN) | WRITTEN);
      } else if (!deep) break;
    }
    if (deep) this.series[at + STATE] = (this.series[at + STATE] as number) & ~DEEP;
  }

  /** Merges and closes what ends at or before `closing`. */
  closePanes(series: number, closing: number, emit: Emit): void {
    const { windows } = this;
    const n = this.sortPanes(series);
    const { order } = this;
    let from = 0;
    while (from < n && windows.start(order[from] as number) < closing) {
      const start = alignDown(windows.start(order[from] as number), SECOND_MS);
      let flags = SHOWN;
      let to = from;
      while (to < n && windows.start(order[to] as number) < start + SECOND_MS)
        flags &= windows.flags(order[to++] as number);
      windows.begin(this.second, start, flags);
      windows.takeAll(this.second, order, from, to);
      while (from < to) this.releasePane(series, order[from++] as number);
      this.close(series, SECOND, this.second, emit);
    }
    if (from > 0) this.keepPanes(series, from, n);
    if (closing >= (this.seriesFloats[series * SERIES_FLOATS + NEXT_CLOSE] as number))
      this.closePassed(series, closing, emit);
  }

  /** Makes the panes of `order` from `from` on the list of the series. */
  private keepPanes(series: number, from: number, to: number): void {
    const { order } = this;
    const at = series * SERIES_WORDS;
    let before = 0;
    for (let i = from; i < to; i++) {
      this.windows.setLink(order[i] as number, before);
      before = order[i] as number;
    }
    this.series[at + PANE] = before;
    this.series[at + PANES] = to - from;
    this.series[at + STATE] = (this.series[at + STATE] as number) & ~UNSORTED;
  }

  private closePassed(series: number, closing: number, emit: Emit): void {
    let next = Number.POSITIVE_INFINITY;
    for (let level = SECOND + 1; level < LEVEL_COUNT; level++) {
      const window = this.open(series, level);
      if (window === 0) continue;
      const end = this.windows.start(window) + (LEVEL_MS[level] as number);
      if (end <= closing) this.close(series, level, window, emit);
      else if (end < next) next = end;
    }
    this.seriesFloats[series * SERIES_FLOATS + NEXT_CLOSE] = next;
  }

  /** Takes a closed child into the open window of `level`; one that ends before it is closed first. */
  private merge(series: number, level: number, child: number, emit: Emit): void {
    const { windows } = this;
    const size = LEVEL_MS[level] as number;
    const start = windows.start(child);
    let window = this.open(series, level);
    // Children come in start order.
    if (window !== 0 && start >= windows.start(window) + size) {
      this.close(series, level, window, emit);
      window = 0;
    }
    if (window === 0) window = this.begin(series, level, alignDown(start, size), SHOWN);
    windows.setFlags(window, windows.flags(window) & windows.flags(child));
    windows.take(window, child);
  }

  private close(series: number, level: number, window: number, emit: Emit): void {
    const { windows } = this;
    if ((windows.flags(window) & SHOWN) === 0) {
      const start = windows.start(window);
      const device = this.deviceOf(series);
      const stored = start <= this.devices.writtenTo(device);
      emit(level, series, window, stored ? this.supplied.get(series, level, start) : null, stored);
    }
    if (level < TOP) this.merge(series, level + 1, window, emit);
    const at = series * SERIES_WORDS + STATE;
    this.series[at] = (this.series[at] as number) & ~(1 << level);
  }

  /** Hands out the open windows as they are, as far as they were not handed out so before. Changes no figures. */
  show(series: number, emit: (level: number, series: number, window: number) => void): void {
    const { windows } = this;
    const panes = [...this.order.subarray(0, this.sortPanes(series))];
    let below: readonly number[] = panes;
    for (let level = 1; level < LEVEL_COUNT; level++) {
      const here: number[] = [];
      const open = this.open(series, level);
      let current = 0;
      if (open !== 0) {
        current = windows.copy(open);
        here.push(current);
        windows.setFlags(open, SHOWN);
      }
      for (const child of below) {
        const start = alignDown(windows.start(child), LEVEL_MS[level] as number);
        if (current === 0 || windows.start(current) !== start) {
          current = windows.make(start);
          windows.setFlags(current, SHOWN);
          here.push(current);
        }
        windows.setFlags(current, windows.flags(current) & windows.flags(child));
        windows.take(current, child);
      }
      for (const window of here) if ((windows.flags(window) & SHOWN) === 0) emit(level, series, window);
      if (below !== panes) for (const child of below) windows.release(child);
      below = here;
    }
    for (const child of below) windows.release(child);
    for (const pane of panes) windows.setFlags(pane, windows.flags(pane) | SHOWN);
  }

  /**
   * The open windows of a series of a restored device, from its rows at or above `openFloors`. False when some are
   * not rows yet as they are now.
   */
  restore(series: number, rows: readonly { readonly level: number; readonly figures: Figures }[]): boolean {
    const { windows } = this;
    const device = this.deviceOf(series);
    const closedTo = this.devices.closedTo(device);
    const counts = new Map<number, number>();
    const ordered = [...rows].sort((a, b) => a.figures.start - b.figures.start);
    for (const { level, figures } of ordered) {
      const { start, count } = figures;
      const open = start + (LEVEL_MS[level] as number) > closedTo;
      if (open && level > 0) counts.set(start * LEVEL_COUNT + level, count);
      if (open && level === 0) {
        const pane = this.makePane(series, start, 0);
        const before = windows.link(pane);
        windows.move(windows.load(figures), pane);
        windows.setFlags(pane, WRITTEN);
        windows.setLink(pane, before);
      }
      if (open || level === TOP) continue;
      const parent = alignDown(start, LEVEL_MS[level + 1] as number);
      if (parent + (LEVEL_MS[level + 1] as number) <= closedTo) continue;
      const child = windows.load(figures);
      windows.take(this.open(series, level + 1) || this.begin(series, level + 1, parent, 0), child);
      windows.release(child);
    }
    if (counts.size > 0)
      this.devices.floats[device * DEVICE_FLOATS + WRITTEN_TO] = this.devices.newest(device);
    // A window only gains readings: a row of the same count is the same row.
    let same = true;
    this.show(series, (level, _series, window) => {
      if (counts.get(windows.start(window) * LEVEL_COUNT + level) !== windows.count(window)) same = false;
    });
    if (!same) this.unshow(series);
    return same;
  }

  /** Its windows will be handed out again, as far as they are no panes. */
  private unshow(series: number): void {
    const { windows } = this;
    const last = this.series[series * SERIES_WORDS + PANE] as number;
    for (let pane = last; pane !== 0; pane = windows.link(pane)) windows.setFlags(pane, WRITTEN);
    for (let level = 1; level < LEVEL_COUNT; level++) {
      const window = this.open(series, level);
      if (window !== 0) windows.setFlags(window, 0);
    }
  }

  /** Forgets what served one `collect`. */
  endCollect(): void {
    this.manyPanes.clear();
  }
}
