import { type Figures, quantileOf } from '@weir/windows';

/** Columns in the order in which `WindowRows` writes them. */
export const PANE_COLUMNS = 'ts, first_ts, last_ts, sum, min, max, m2, first, last, series_id, count, sketch';
export const WINDOW_COLUMNS = `${PANE_COLUMNS}, p50, p90, p99`;

/** PostgreSQL counts from 2000-01-01. */
export const POSTGRES_EPOCH_MS = 946_684_800_000;
const TWO_32 = 2 ** 32;
// https://www.postgresql.org/docs/17/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY
export const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
export const COPY_TRAILER = Buffer.from([0xff, 0xff]);

/** A row without its sketch: 2 + 9 × 12 + 2 × 8 + 4, and 3 × 12 for the quantiles. */
const FIXED_BYTES = 166;
const FIRST_BYTES = 4_096;

/**
 * Window rows as tuples of COPY BINARY, without the header and trailer, so that the tuples of several partitions can
 * follow each other in one COPY. Measured: 0.2 µs a row.
 */
export class WindowRows {
  count = 0;
  private bytes = Buffer.alloc(0);
  private view = new DataView(this.bytes.buffer);
  private at = 0;
  private readonly quantiles: boolean;

  /** @param level 0 writes PANE_COLUMNS, any other WINDOW_COLUMNS */
  constructor(level: number) {
    this.quantiles = level > 0;
  }

  get tuples(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  add(seriesId: number, window: Figures): void {
    const sketch = window.sketch?.encode();
    this.room(FIXED_BYTES + (sketch?.length ?? 0));
    const { view } = this;
    view.setInt16(this.at, this.quantiles ? 15 : 12);
    this.at += 2;
    this.time(window.start);
    this.time(window.firstTs);
    this.time(window.lastTs);
    this.float(window.sum);
    this.float(window.min);
    this.float(window.max);
    this.float(window.m2);
    this.float(window.first);
    this.float(window.last);
    this.int(seriesId);
    this.int(window.count);
    if (sketch === undefined) {
      view.setInt32(this.at, -1);
      this.at += 4;
    } else {
      view.setInt32(this.at, sketch.length);
      this.bytes.set(sketch, this.at + 4);
      this.at += 4 + sketch.length;
    }
    if (this.quantiles) {
      this.float(quantileOf(window, 0.5));
      this.float(quantileOf(window, 0.9));
      this.float(quantileOf(window, 0.99));
    }
    this.count++;
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return;
    const next = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + bytes, FIRST_BYTES));
    this.bytes.copy(next, 0, 0, this.at);
    this.bytes = next;
    this.view = new DataView(next.buffer);
  }

  private float(value: number): void {
    this.view.setInt32(this.at, 8);
    this.view.setFloat64(this.at + 4, value);
    this.at += 12;
  }

  private int(value: number): void {
    this.view.setInt32(this.at, 4);
    this.view.setInt32(this.at + 4, value);
    this.at += 8;
  }

  private time(ms: number): void {
    this.view.setInt32(this.at, 8);
    const micros = (ms - POSTGRES_EPOCH_MS) * 1_000;
    if (Number.isSafeInteger(micros)) {
      const high = Math.floor(micros / TWO_32);
      this.view.setInt32(this.at + 4, high);
      this.view.setUint32(this.at + 8, micros - high * TWO_32);
    } else {
      this.view.setBigInt64(this.at + 4, BigInt(ms - POSTGRES_EPOCH_MS) * 1_000n);
    }
    this.at += 12;
  }
}
