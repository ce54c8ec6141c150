import { LEVEL_MS } from './levels.ts';
import type { Figures } from './window.ts';

/** A stretch of stored rows that the next `collect` needs. */
export interface NeededRows {
  readonly series: number;
  readonly level: number;
  /** Inclusive, epoch milliseconds. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Stored rows that were asked for, until the next `collect`. */
export class SuppliedRows {
  /** By series, then by level and start. */
  private readonly rows = new Map<number, Map<number, Figures>[]>();

  put(series: number, level: number, figures: Figures): void {
    let rows = this.rows.get(series);
    if (rows === undefined) {
      rows = LEVEL_MS.map(() => new Map());
      this.rows.set(series, rows);
    }
    rows[level]?.set(figures.start, figures);
  }

  get(series: number, level: number, start: number): Figures | null {
    return this.of(series, level)?.get(start) ?? null;
  }

  of(series: number, level: number): ReadonlyMap<number, Figures> | undefined {
    return this.rows.get(series)?.[level];
  }

  clear(): void {
    this.rows.clear();
  }
}
