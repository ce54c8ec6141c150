import type { LineHead, Reading } from '@weir/reading';
import type { Figures } from './window.ts';

export interface WindowOptions {
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
  readonly idleTimeoutMs: number;
  readonly dedupHorizonMs: number;
  readonly dedupCount: number;
}

/**
 * The readings of a line with those that follow from them, which stand last; a pure function of all three. The same
 * array: nothing follows. `offset` is where the line first stood in the log.
 */
export type Derive = (head: LineHead, sent: readonly Reading[], offset: bigint) => readonly Reading[];

/** Key and name of a series. */
export interface SeriesInfo {
  /** Key in the database. */
  readonly id: number;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
}

/** Receives every row that must be written. Figures are valid during the call only: copy what must stay. */
export interface RowSink {
  /**
   * @param previous the row as it was last handed out, when it is written again; null for a new one, and always null
   * at level 0 (1 s)
   * @param stored the row may exist already
   */
  row(level: number, series: SeriesInfo, window: Figures, previous: Figures | null, stored: boolean): void;
}

/** What became of the readings of a line; the rest was stored. Valid during the call only. */
export interface LineOutcome {
  /** Number of the device in this partition, from 0 up; the same for as long as the `PartitionState` lives. */
  readonly device: number;
  readonly duplicates: number;
  readonly late: number;
}

/** Told of the lines of the log, in log order, after their readings were folded. */
export interface LineObserver {
  /**
   * A line that is not a transport repetition. With `replayed` it stands below `nextOffset` and is read again after a
   * restart: then it may also be a transport repetition, and `outcome` counts nothing. `head` and `readings` are valid
   * during the call only.
   */
  line(
    head: LineHead,
    readings: readonly Reading[],
    offset: bigint,
    replayed: boolean,
    outcome: LineOutcome,
  ): void;
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

/** Readings since the last `takeCounts`. */
export interface Counts {
  stored: number;
  /** Of `stored`: merged into a window that had closed. */
  merged: number;
  duplicate: number;
  late: number;
  undecodable: number;
  /** Not in `stored`: late readings that a replay brought back. */
  replayed: number;
  /** Those that had been brought back before. */
  replayedAgain: number;
}

export const noCounts = (): Counts => ({
  stored: 0,
  merged: 0,
  duplicate: 0,
  late: 0,
  undecodable: 0,
  replayed: 0,
  replayedAgain: 0,
});
