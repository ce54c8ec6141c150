import type { LineObserver, PartitionState, RowSink } from '@weir/windows';
import type { Runner, Transaction } from './database.ts';

/**
 * Something that follows from a partition's log, or from its window rows, and is written in their transaction.
 * `Change` is what one partition hands to one transaction.
 */
export interface CommitPart<
  Change = unknown,
  Part extends PartOfPartition<Change> = PartOfPartition<Change>,
> {
  /** Shown in errors. */
  readonly name: string;
  /** For a partition that was just claimed; puts stored state back before its log is read. */
  open(runner: Runner, partition: number, state: PartitionState): Promise<Part>;
  /**
   * Loads what the next `collect` needs, for all partitions of the coming transaction: keys of series are known, the
   * rows for late readings are not loaded yet, earlier transactions are in the database, the fold waits. May be called
   * again before `collect` when the database was away.
   */
  prepare?(runner: Runner, parts: readonly Part[]): Promise<void>;
  /** After the window rows, in their transaction; the same changes again when it has to be repeated. */
  write(transaction: Transaction, changes: readonly Change[]): Promise<void>;
}

/**
 * The state of a `CommitPart` for one partition; let go with the partition. `line` is told of the lines of the log,
 * `row` of the rows of this `collect`, before its own `collect` is called, without a pause in between.
 */
export interface PartOfPartition<Change = unknown> extends Partial<LineObserver>, Partial<RowSink> {
  /** What changed since the last call, encoded or copied; null: nothing. Counts as written from here on. */
  collect(now: number): Change | null;
  /** The transaction with this change is committed. */
  settled?(change: Change): void;
  /** Something must be written although the log did not move. `now` is the monotonic clock, milliseconds. */
  due?(now: number): boolean;
}
