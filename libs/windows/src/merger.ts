import { type Figures, quantileOf } from './window.ts';
import { WindowPool } from './window-pool.ts';

/** Figures whose quantiles are known, so that the sketch is no longer needed. */
export interface FiguresRead extends Omit<Figures, 'sketch'> {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** The longest window that a merger makes: places in a window count in 32 bits of milliseconds. */
export const LONGEST_MERGE_MS = 2 ** 32 - 1;

/** Makes one window of several, with the same bits as a row that is merged from the same children. */
export class WindowMerger {
  private readonly pool = new WindowPool();
  private readonly row = this.pool.reader();

  /**
   * @param start of the merged window, epoch milliseconds, at or before the start of the first part
   * @param parts in start order, not overlapping, at least one, within LONGEST_MERGE_MS of `start`
   */
  merge(start: number, parts: readonly Figures[]): FiguresRead {
    const { pool, row } = this;
    const window = pool.make(start);
    for (const part of parts) {
      const child = pool.load(part);
      pool.take(window, child);
      pool.release(child);
    }
    row.window = window;
    const { count, sum, min, max, m2, first, firstTs, last, lastTs } = row;
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => quantileOf(row, q)) as [number, number, number];
    pool.release(window);
    return { start, count, sum, min, max, m2, first, firstTs, last, lastTs, p50, p90, p99 };
  }
}
