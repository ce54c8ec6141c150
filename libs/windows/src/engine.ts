import { grown } from './columns.ts';
import { alignDown, LEVEL_COUNT, LEVEL_MS, PANE_MS, TOP } from './levels.ts';
import type { WindowOptions } from './types.ts';
import type { Figures } from './window.ts';
import { WindowPool } from './window-pool.ts';

/** Of a device: four floats, then its first series and its flags. */
const DEVICE_FLOATS = 5;
const DEVICE_WORDS = 10;
/** Start of its newest pane, epoch milliseconds. */
const NEWEST = 0;
/**
 * Its watermark at the last collect, down to a multiple of the second level's size: windows that end at or before it are
 * rows, and no longer in memory.
 */
const CLOSED_TO = 1;
/** A window that starts at or before it may have a row although it is open, from a time of silence. */
const WRITTEN_TO = 2;
/** The caller's clock at its last reading, or at the restore. */
const TOUCHED_AT = 3;
const FIRST_SERIES = 8;
const DEVICE_FLAGS = 9;
const TOUCHED = 1;
const OPEN = 2;

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
const SECOND_MS = LEVEL_MS[SECOND] as number;

/** Of a pane: it changed since its row was handed out. */
const DIRTY = 1;
/** Of a pane: it has a row. */
const WRITTEN = 2;
/** Nothing changed since the rows of all windows above were handed out for a silent device. */
const SHOWN = 4;

/** Panes of a series that are looked for one by one; beyond that there is an index. */
const FEW_PANES = 32;
/** Series whose rows are handed out in one collect because their device is silent: a fleet may fall silent at once. */
const SILENT_SERIES = 2_000;

/** What `fold` did with a reading. */
export const LATE = 0;
export const STORED = 1;
/** Stored in a window that had closed. */
export const MERGED = 2;

/** A stretch of stored rows that the next `collect` needs. */
export interface NeededRows {
  readonly series: number;
  readonly level: number;
  /** Inclusive, epoch milliseconds. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** @param window slot in the engine's `windows` */
export type Emit = (
  level: number,
  series: number,
  window: number,
  previous: Figures | null,
  stored: boolean,
) => void;

/** Stored rows by level and start. */
type Rows = Map<number, Figures>[];

/** Lowest starts of the rows, per level, that bring the open windows of a device with this watermark back. */
export function openFloors(watermark: number): number[] {
  return LEVEL_MS.map((_, level) => alignDown(watermark, LEVEL_MS[Math.min(level + 1, TOP)] as number));
}

/**
 * The open windows of one partition, by the numbers of devices and series. Memory holds of each series the panes of the
 * windows of level SECOND that its device's watermark has not passed, and at most one open window of each level above,
 * which took its children as they closed: a watermark only grows, so they close in start order, and the figures are the
 * same bits as those of a recomputation from rows. A reading for a pane that was merged already waits for `collect`, which recomputes the
 * windows above it from their rows: `neededRows` names them, `supply` brings them.
 */
export class WindowEngine {
  readonly windows = new WindowPool();
  private readonly options: WindowOptions;
  private devices = new Float64Array(DEVICE_FLOATS << 4);
  private deviceWords = new Uint32Array(this.devices.buffer);
  private seriesFloats = new Float64Array(SERIES_FLOATS << 4);
  private series = new Uint32Array(this.seriesFloats.buffer);
  /** Panes that a block has room for: those that are open at a time, and one more. Others have slots of their own. */
  private readonly blockPanes: number;
  private readonly blockMask: number;
  private group = 0;
  /** The window of level SECOND that is being made; it closes at once. */
  private readonly second: number;
  private deviceCount = 0;
  private seriesCount = 0;
  /** Devices with readings since the last collect: the first `touchedCount` of these. */
  private touched = new Uint32Array(16);
  private touchedCount = 0;
  /** Silent devices whose open windows the next collect hands out. */
  private silent: number[] = [];
  /** Pane, value and event time in turn, in log order. */
  private readonly cold = new Map<number, number[]>();
  private readonly supplied = new Map<number, Rows>();
  private readonly manyPanes = new Map<number, Map<number, number>>();
  /** Panes of one series in start order. */
  private order = new Uint32Array(64);
  private expiredBefore: readonly number[] = LEVEL_MS.map(() => Number.NEGATIVE_INFINITY);
  /** By series, panes of `cold` that lie beyond the allowed lateness: rows below their windows may have expired. */
  private readonly beyond = new Map<number, Set<number>>();

  constructor(options: WindowOptions) {
    this.options = options;
    const open = Math.ceil((SECOND_MS + options.outOfOrdernessMs) / PANE_MS);
    this.blockPanes = Math.min(MOST_BLOCK_PANES, open + 1);
    this.blockMask = (1 << this.blockPanes) - 1;
    this.second = this.windows.block(1, 1);
  }

  addDevice(): number {
    const device = this.deviceCount++;
    if (this.deviceCount * DEVICE_FLOATS > this.devices.length) {
      this.devices = grown(this.devices, this.deviceCount * DEVICE_FLOATS);
      this.deviceWords = new Uint32Array(this.devices.buffer);
    }
    if (this.deviceCount > this.touched.length) this.touched = grown(this.touched, this.deviceCount);
    this.devices.fill(Number.NEGATIVE_INFINITY, device * DEVICE_FLOATS, device * DEVICE_FLOATS + 4);
    this.deviceWords[device * DEVICE_WORDS + FIRST_SERIES] = NONE;
    this.deviceWords[device * DEVICE_WORDS + DEVICE_FLAGS] = 0;
    return device;
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
    const first = device * DEVICE_WORDS + FIRST_SERIES;
    this.series[series * SERIES_WORDS + DEVICE] = device;
    this.series[series * SERIES_WORDS + NEXT_SERIES] = this.deviceWords[first] as number;
    this.deviceWords[first] = series;
    return series;
  }

  /** Start of the device's newest pane; -Infinity before its first reading. */
  newest(device: number): number {
    return this.devices[device * DEVICE_FLOATS + NEWEST] as number;
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
    const newest = this.devices[device * DEVICE_FLOATS + NEWEST] as number;
    return pane + PANE_MS + allowedLatenessMs <= newest - outOfOrdernessMs;
  }

  /** As `fold`, for a reading that is not late, of a device that is touched. */
  add(device: number, series: number, pane: number, value: number, ts: number): number {
    if (pane + PANE_MS <= (this.devices[device * DEVICE_FLOATS + CLOSED_TO] as number)) {
      const readings = this.cold.get(series);
      if (readings === undefined) this.cold.set(series, [pane, value, ts]);
      else readings.push(pane, value, ts);
      return MERGED;
    }
    const { windows } = this;
    const at = series * SERIES_WORDS;
    const last = this.series[at + PANE] as number;
    const start = last === 0 ? Number.NEGATIVE_INFINITY : windows.start(last);
    const state = this.series[at + STATE] as number;
    if (start < pane && (state & UNSORTED) === 0) {
      windows.add(this.newPane(series, pane), value, ts);
      return STORED;
    }
    let window = last;
    if (start !== pane) {
      window = this.pane(series, pane);
      this.series[at + STATE] = (this.series[at + STATE] as number) | DEEP;
    }
    windows.setFlags(window, (windows.flags(window) & WRITTEN) | DIRTY);
    windows.add(window, value, ts);
    return STORED;
  }

  touch(device: number, pane: number, now: number): void {
    const at = device * DEVICE_FLOATS;
    if (pane > (this.devices[at + NEWEST] as number)) this.devices[at + NEWEST] = pane;
    this.devices[at + TOUCHED_AT] = now;
    const flags = device * DEVICE_WORDS + DEVICE_FLAGS;
    if (((this.deviceWords[flags] as number) & TOUCHED) === 0) {
      this.deviceWords[flags] = TOUCHED | OPEN;
      this.touched[this.touchedCount++] = device;
    }
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
  private open(series: number, level: number): number {
    const state = this.series[series * SERIES_WORDS + STATE] as number;
    return (state & (1 << level)) === 0 ? 0 : this.place(series, level);
  }

  /** Begins the open window of a level; there must be none. */
  private begin(series: number, level: number, start: number, flags: number): number {
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

  private isSilent(device: number, now: number): boolean {
    if (((this.deviceWords[device * DEVICE_WORDS + DEVICE_FLAGS] as number) & OPEN) === 0) return false;
    const touchedAt = this.devices[device * DEVICE_FLOATS + TOUCHED_AT] as number;
    return now - touchedAt >= this.options.idleTimeoutMs;
  }

  /** Whether `collect` would hand out rows. */
  hasWork(now: number): boolean {
    if (this.touchedCount > 0) return true;
    for (let device = 0; device < this.deviceCount; device++) if (this.isSilent(device, now)) return true;
    return false;
  }

  /** As `add`, for a reading that counts although it is late. */
  addLate(device: number, series: number, pane: number, value: number, ts: number): void {
    this.add(device, series, pane, value, ts);
    const panes = this.beyond.get(series);
    if (panes === undefined) this.beyond.set(series, new Set([pane]));
    else panes.add(pane);
  }

  /** The finest level at which a late reading of this pane finds its row; LEVEL_COUNT when all have expired. */
  finestLeft(series: number, pane: number): number {
    let level = 0;
    while (level < LEVEL_COUNT && this.isGone(series, pane, level)) level++;
    return level;
  }

  get hasLate(): boolean {
    return this.beyond.size > 0;
  }

  /**
   * Windows of a level that start before its time here have lost their rows, or are about to. A reading that counts
   * although it is late writes none of them again, and goes straight into the rows of the window above.
   */
  setExpired(before: readonly number[]): void {
    this.expiredBefore = before;
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
    for (let device = 0, rest = SILENT_SERIES; device < this.deviceCount && rest > 0; device++) {
      if (!this.isSilent(device, now)) continue;
      this.silent.push(device);
      rest -= this.count(device);
    }
    for (const [series, readings] of this.cold) this.needForCold(series, readings, needed);
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

  /** The children, and the own rows, of every closed window above the panes; the children of the first open one. */
  private needForCold(series: number, readings: readonly number[], needed: NeededRows[]): void {
    const closedTo = this.closedTo(this.series[series * SERIES_WORDS + DEVICE] as number);
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

  private needPrevious(device: number, silent: boolean, needed: NeededRows[]): void {
    const at = device * DEVICE_FLOATS;
    const writtenTo = this.devices[at + WRITTEN_TO] as number;
    const closedTo = this.devices[at + CLOSED_TO] as number;
    if (writtenTo + (LEVEL_MS[TOP] as number) <= closedTo) return;
    const watermark = (this.devices[at + NEWEST] as number) - this.options.outOfOrdernessMs;
    for (let series = this.first(device); series !== NONE; series = this.next(series)) {
      for (let level = 1; level < LEVEL_COUNT; level++) {
        const size = LEVEL_MS[level] as number;
        const from = alignDown(closedTo, size);
        const last = alignDown(writtenTo, size) + size;
        const to = silent ? last : Math.min(last, alignDown(watermark, size));
        if (from < to && this.changed(series, level, from, to)) needed.push({ series, level, from, to });
      }
    }
  }

  /** Whether an open window of this level in [from, to) differs from the row that silence wrote. */
  private changed(series: number, level: number, from: number, to: number): boolean {
    const { windows } = this;
    const differs = (window: number): boolean =>
      window !== 0 &&
      windows.start(window) >= from &&
      windows.start(window) < to &&
      (windows.flags(window) & SHOWN) === 0;
    if (this.cold.has(series)) return true;
    for (let below = 1; below <= level; below++) if (differs(this.open(series, below))) return true;
    for (
      let window = this.series[series * SERIES_WORDS + PANE] as number;
      window !== 0;
      window = windows.link(window)
    )
      if (differs(window)) return true;
    return false;
  }

  /** Brings a row that `neededRows` named. */
  supply(series: number, level: number, figures: Figures): void {
    let rows = this.supplied.get(series);
    if (rows === undefined) {
      rows = LEVEL_MS.map(() => new Map());
      this.supplied.set(series, rows);
    }
    rows[level]?.set(figures.start, figures);
  }

  /** Hands out every row that changed, closes what the watermarks passed, and shows what silent devices left open. */
  collect(emit: Emit): void {
    for (let i = 0; i < this.touchedCount; i++) this.collectDevice(this.touched[i] as number, emit);
    this.touchedCount = 0;
    for (const device of this.silent) {
      const writtenTo = this.devices[device * DEVICE_FLOATS + WRITTEN_TO] as number;
      for (let series = this.first(device); series !== NONE; series = this.next(series)) {
        this.show(series, (level, one, window) => {
          const start = this.windows.start(window);
          emit(level, one, window, this.previous(one, level, start), start <= writtenTo);
        });
      }
      this.devices[device * DEVICE_FLOATS + WRITTEN_TO] = this.newest(device);
      this.deviceWords[device * DEVICE_WORDS + DEVICE_FLAGS] = 0;
    }
    this.silent = [];
    this.supplied.clear();
    this.cold.clear();
    this.beyond.clear();
    this.manyPanes.clear();
  }

  private collectDevice(device: number, emit: Emit): void {
    const at = device * DEVICE_FLOATS;
    const watermark = (this.devices[at + NEWEST] as number) - this.options.outOfOrdernessMs;
    const closedTo = this.devices[at + CLOSED_TO] as number;
    const closing = alignDown(watermark, SECOND_MS);
    this.deviceWords[device * DEVICE_WORDS + DEVICE_FLAGS] = OPEN;
    for (let series = this.first(device); series !== NONE; series = this.next(series)) {
      if (this.cold.size > 0 && this.cold.has(series)) this.recompute(series, closedTo, emit);
      this.emitPanes(series, emit);
      if (closing > closedTo) this.closeSeries(series, closing, emit);
    }
    this.devices[at + CLOSED_TO] = closing;
  }

  /** Hands out the panes that changed: the newest ones, unless one behind them changed too. */
  private emitPanes(series: number, emit: Emit): void {
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
  private closeSeries(series: number, closing: number, emit: Emit): void {
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
      const device = this.series[series * SERIES_WORDS + DEVICE] as number;
      const stored = start <= (this.devices[device * DEVICE_FLOATS + WRITTEN_TO] as number);
      emit(level, series, window, stored ? this.previous(series, level, start) : null, stored);
    }
    if (level < TOP) this.merge(series, level + 1, window, emit);
    const at = series * SERIES_WORDS + STATE;
    this.series[at] = (this.series[at] as number) & ~(1 << level);
  }

  private previous(series: number, level: number, start: number): Figures | null {
    return this.supplied.get(series)?.[level]?.get(start) ?? null;
  }

  /** Adds the readings of merged panes, and computes every window above them again from its children's rows. */
  private recompute(series: number, closedTo: number, emit: Emit): void {
    const { windows } = this;
    const readings = this.cold.get(series) as number[];
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
        emit(level, series, own.get(start) as number, this.previous(series, level, start), true);
      }
      for (const parent of ascending(parents)) {
        const window = windows.make(parent);
        for (const start of starts)
          if (start >= parent && start < parent + size) windows.take(window, children.get(start) as number);
        if (parent + size > closedTo) {
          if (this.open(series, level) === 0) this.begin(series, level, parent, 0);
          windows.move(window, this.open(series, level));
        } else {
          const old = own.get(parent);
          if (old !== undefined) windows.release(old);
          emit(level, series, window, this.previous(series, level, parent), true);
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
    const { windows } = this;
    const size = LEVEL_MS[level] as number;
    const childless = this.expiredBefore[level - 1] as number;
    const changed = new Set<number>();
    const readings = this.cold.get(series) as number[];
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
    const device = this.series[series * SERIES_WORDS + DEVICE] as number;
    const watermark = (this.devices[device * DEVICE_FLOATS + NEWEST] as number) - outOfOrdernessMs;
    const may = Math.min(watermark - allowedLatenessMs - PANE_MS, this.closedTo(device));
    return alignDown(may, LEVEL_MS[level] as number);
  }

  /** The supplied rows of windows that had closed, loaded; the caller releases them. */
  private closedRows(series: number, level: number, closedTo: number): Map<number, number> {
    const loaded = new Map<number, number>();
    for (const [start, figures] of this.supplied.get(series)?.[level] ?? [])
      if (start + (LEVEL_MS[level] as number) <= closedTo) loaded.set(start, this.windows.load(figures));
    return loaded;
  }

  /** Hands out the open windows as they are, as far as they were not handed out so before. Changes no figures. */
  private show(series: number, emit: (level: number, series: number, window: number) => void): void {
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

  /** Where a device stood at the last commit. */
  restoreDevice(device: number, newest: number, now: number): void {
    const at = device * DEVICE_FLOATS;
    this.devices[at + NEWEST] = newest;
    this.devices[at + CLOSED_TO] = alignDown(newest - this.options.outOfOrdernessMs, SECOND_MS);
    this.devices[at + TOUCHED_AT] = now;
  }

  /** The open windows of a series of a restored device, from its rows at or above `openFloors`. */
  restoreSeries(
    series: number,
    rows: readonly { readonly level: number; readonly figures: Figures }[],
  ): void {
    const { windows } = this;
    const s = series * SERIES_WORDS;
    const device = this.series[s + DEVICE] as number;
    const closedTo = this.closedTo(device);
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
    if (counts.size > 0) this.devices[device * DEVICE_FLOATS + WRITTEN_TO] = this.newest(device);
    // A window only gains readings: a row of the same count is the same row.
    let same = true;
    this.show(series, (level, _series, window) => {
      if (counts.get(windows.start(window) * LEVEL_COUNT + level) !== windows.count(window)) same = false;
    });
    if (same) return;
    this.deviceWords[device * DEVICE_WORDS + DEVICE_FLAGS] = OPEN;
    for (let pane = this.series[s + PANE] as number; pane !== 0; pane = windows.link(pane))
      windows.setFlags(pane, WRITTEN);
    for (let level = 1; level < LEVEL_COUNT; level++) {
      const window = this.open(series, level);
      if (window !== 0) windows.setFlags(window, 0);
    }
  }

  private closedTo(device: number): number {
    return this.devices[device * DEVICE_FLOATS + CLOSED_TO] as number;
  }
  private first(device: number): number {
    return this.deviceWords[device * DEVICE_WORDS + FIRST_SERIES] as number;
  }
  private next(series: number): number {
    return this.series[series * SERIES_WORDS + NEXT_SERIES] as number;
  }
  private count(device: number): number {
    let n = 0;
    for (let series = this.first(device); series !== NONE; series = this.next(series)) n++;
    return n;
  }
}

const NONE = 0xffffffff;

export function paneOf(ts: number): number {
  return alignDown(ts, PANE_MS);
}

function ascending(starts: Iterable<number>): number[] {
  return [...starts].sort((a, b) => a - b);
}
