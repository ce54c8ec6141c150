import { grown } from './columns.ts';

/** Of a device: four floats, then its first series and its flags. */
export const DEVICE_FLOATS = 5;
export const DEVICE_WORDS = 10;
/** Start of its newest pane, epoch milliseconds. */
export const NEWEST = 0;
/**
 * Its watermark at the last collect, down to a multiple of the second level's size: windows that end at or before it are
 * rows, and no longer in memory.
 */
export const CLOSED_TO = 1;
/** A window that starts at or before it may have a row although it is open, from a time of silence. */
export const WRITTEN_TO = 2;
/** The caller's clock at its last reading, or at the restore. */
export const TOUCHED_AT = 3;
const FIRST_SERIES = 8;
export const DEVICE_FLAGS = 9;
export const TOUCHED = 1;
export const OPEN = 2;

/** No series. */
export const NONE = 0xffffffff;

/** How far each device of a partition is, in columns by its number. */
export class DeviceTimes {
  floats = new Float64Array(DEVICE_FLOATS << 4);
  words = new Uint32Array(this.floats.buffer);
  count = 0;

  add(): number {
    const device = this.count++;
    if (this.count * DEVICE_FLOATS > this.floats.length) {
      this.floats = grown(this.floats, this.count * DEVICE_FLOATS);
      this.words = new Uint32Array(this.floats.buffer);
    }
    this.floats.fill(Number.NEGATIVE_INFINITY, device * DEVICE_FLOATS, device * DEVICE_FLOATS + 4);
    this.words[device * DEVICE_WORDS + FIRST_SERIES] = NONE;
    this.words[device * DEVICE_WORDS + DEVICE_FLAGS] = 0;
    return device;
  }

  newest(device: number): number {
    return this.floats[device * DEVICE_FLOATS + NEWEST] as number;
  }
  closedTo(device: number): number {
    return this.floats[device * DEVICE_FLOATS + CLOSED_TO] as number;
  }
  writtenTo(device: number): number {
    return this.floats[device * DEVICE_FLOATS + WRITTEN_TO] as number;
  }
  /** The series that the device got last; NONE before the first. */
  first(device: number): number {
    return this.words[device * DEVICE_WORDS + FIRST_SERIES] as number;
  }
  setFirst(device: number, series: number): void {
    this.words[device * DEVICE_WORDS + FIRST_SERIES] = series;
  }
}
