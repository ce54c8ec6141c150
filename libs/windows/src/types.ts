import type { Series } from './series.ts';
import type { Figures, Window } from './window.ts';

export interface WindowOptions {
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
  readonly idleTimeoutMs: number;
  readonly dedupHorizonMs: number;
  readonly dedupCount: number;
}

/** What is stored beside the rows, in the same transaction. */
export interface Position {
  /** First offset that is not in the rows. */
  readonly nextOffset: bigint;
  /** Reading the log from here restores the duplicate horizon. */
  readonly replayOffset: bigint;
  /** Edge → highest spool position folded. */
  readonly sources: Readonly<Record<string, number>>;
}

/** A series and its stored windows, as a restart finds them. */
export interface RestoredSeries {
  readonly id: number;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly unit: string | null;
  /** Start of the newest stored pane, epoch milliseconds. */
  readonly newest: number;
  readonly rows: readonly { readonly level: number; readonly figures: Figures }[];
}

/** A line that became a dead letter, wholly or in part. */
export interface BuriedLine {
  readonly reason: 'late' | 'decode' | 'schema' | 'range' | 'clock-skew';
  readonly offset: bigint;
  /** Index of the line in its record. */
  readonly index: number;
  readonly line: string;
  readonly message: string;
  /** Indexes among the readings of the line; null: the line as a whole. */
  readonly readings: readonly number[] | null;
  readonly device: string | null;
  /** Arrival at the edge, epoch milliseconds; null when the line cannot be read. */
  readonly at: number | null;
}

export interface RowChange {
  readonly series: Series;
  readonly window: Window;
}
export interface LevelChanges {
  /** Never written before. */
  readonly added: RowChange[];
  readonly changed: RowChange[];
}

/** Readings since the last `takeCounts`. */
export interface Counts {
  stored: number;
  /** Of `stored`: merged into a window that had closed. */
  merged: number;
  duplicate: number;
  late: number;
  undecodable: number;
}
