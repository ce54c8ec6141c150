import { setImmediate as turn } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { LEVELS } from '@weir/topology';
import { type Counts, LEVEL_COUNT, PartitionState, type RowSink, type WindowOptions } from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Database, Runner } from './database.ts';
import { sqlState } from './errors.ts';
import { forcedReadings } from './forced.ts';
import { areMoved, type Claim, type Move, movePartitions } from './offsets.ts';
import { readExpiry } from './retention.ts';
import { RowMemory, WindowRows } from './rows.ts';
import { allocateSeries, SeriesLoads, type StoredSeries } from './series.ts';
import { copyNew, loadOpenWindows, loadWindows, writeLevel } from './windows.ts';

/** A claimed partition: its fold, its parts, and how far the database is. */
export interface OpenPartition {
  readonly partition: number;
  readonly epoch: bigint;
  readonly state: PartitionState;
  /** The forced readings, then those of `PartitionWriterOptions.parts` in their order. */
  readonly parts: readonly PartOfPartition[];
  /** `next_offset` in the database. */
  committed: bigint;
  /** Transactions of this partition in the database. */
  writes: bigint;
}

/** The rows of one level of one partition, encoded. */
export interface EncodedLevel {
  readonly added: WindowRows;
  readonly changed: WindowRows;
}

/** What one partition hands to a transaction. Encoded at once, so the fold may go on while it is written. */
export interface Rows {
  readonly levels: readonly EncodedLevel[];
  readonly counts: Counts;
  /** By part of `OpenPartition.parts`; null when it has nothing to write. */
  readonly changes: readonly unknown[];
}

/** A partition's share of a transaction: where it moves to is known at once, its rows when they are collected. */
export interface Outgoing<Partition extends OpenPartition = OpenPartition> {
  readonly owned: Partition;
  readonly move: Move;
  readonly rows: Rows | Promise<Rows>;
}
/** One that is collected. */
export interface Handout extends Outgoing {
  readonly rows: Rows;
}

export interface PartitionWriterOptions {
  readonly database: Database;
  readonly topic: string;
  readonly parts: readonly CommitPart[];
  /** For a fold of the archive; see `ForcedOptions`. */
  readonly replaysFrom?: (partition: number) => bigint;
  /** A window that should be new had a row; the transaction is repeated as a merge. */
  readonly onRowsExisted?: () => void;
}

const UNIQUE_VIOLATION = '23505';

/**
 * Brings folded partitions into the database: rows, parts and offsets in one transaction. Knows nothing of Kafka: who
 * feeds `PartitionState.apply`, from the log or from the archive, decides what is written where `database` points.
 * The order for one transaction: `prepare`, then `collect` of each partition at once, then `write` (or `collectAll`
 * beside `write`); one at a time.
 */
export class PartitionWriter {
  private readonly options: PartitionWriterOptions;
  private readonly memory = new RowMemory();
  private readonly series = new SeriesLoads();
  private inDoubt = false;

  constructor(options: PartitionWriterOptions) {
    // Replays are part of every fold: without the memory of them a late reading could count twice.
    this.options = { ...options, parts: [forcedReadings(options), ...options.parts] };
  }

  /**
   * The state of a partition as its rows tell it. The caller then applies the log from `position.replayOffset`.
   * @param belongs whether a device's readings go to this partition
   * @param now the caller's monotonic clock, milliseconds, here and below: decides when a device counts as silent
   */
  async open(
    partition: number,
    { epoch, position, writes }: Claim,
    windows: WindowOptions,
    belongs: (device: string) => boolean,
    now = performance.now(),
  ): Promise<{ owned: OpenPartition; series: number }> {
    const { database, parts } = this.options;
    // Only after the claim: a series that the earlier owner made until then must be seen.
    const series = await this.series.load(database, belongs);
    const state = new PartitionState(windows, position);
    let restored = 0;
    for (const batch of wholeDevices(series)) {
      const stored = await loadOpenWindows(database, batch, windows.outOfOrdernessMs);
      state.restore(stored, now);
      restored += stored.length;
    }
    const opened: PartOfPartition[] = [];
    for (const part of parts) opened.push(await part.open(database, partition, state));
    for (const part of opened) if (part.line !== undefined) state.observe(part as Required<typeof part>);
    const owned = { partition, epoch, state, parts: opened, committed: position.nextOffset, writes };
    return { owned, series: restored };
  }

  /**
   * Whether a transaction would have something to write.
   * @param silence the clock that `PartitionState.apply` is given
   */
  hasWork({ state, committed, parts }: OpenPartition, now: number, silence = now): boolean {
    return state.hasWork(silence, committed) || parts.some((part) => part.due?.(now) === true);
  }

  /**
   * Keys for new series, what the parts need, and the stored rows that late readings change. The fold must wait.
   * @param silence the clock that `PartitionState.apply` is given, for each partition
   */
  async prepare<Partition extends OpenPartition>(
    partitions: readonly Partition[],
    silence: (owned: Partition) => number = () => performance.now(),
  ): Promise<void> {
    const { database, parts } = this.options;
    const fresh = partitions.flatMap(({ state }) => state.freshSeries());
    if (fresh.length > 0) {
      const ids = await allocateSeries(database, fresh);
      fresh.forEach((series, i) => {
        series.id = ids[i] as number;
      });
    }
    const bringsBack = partitions.some((one) => one.state.bringsBack);
    const expired = bringsBack ? await expiredBefore(database) : [];
    if (bringsBack) for (const { state } of partitions) state.setExpired(expired);
    for (const [i, part] of parts.entries()) {
      const opened = partitions.map((one) => one.parts[i] as PartOfPartition);
      await part.prepare?.(database, opened);
    }
    const needed = partitions.flatMap((owned) => {
      const { state, parts: own } = owned;
      const previous = own.some((part) => part.row !== undefined);
      return state
        .neededRows(silence(owned), previous)
        .map((rows) => ({ state, rows, id: state.idOf(rows.series) }));
    });
    for (let level = 0; level < LEVEL_COUNT; level++) {
      const here = needed.filter(({ rows }) => rows.level === level);
      const byId = new Map(here.map((one) => [one.id, one]));
      const stretches = here.map(({ id, rows: { from, to } }) => ({ seriesId: id, from, to }));
      for (const { seriesId, figures } of await loadWindows(database, level, stretches)) {
        const one = byId.get(seriesId) as (typeof here)[number];
        one.state.supply(one.rows.series, level, figures);
      }
    }
    if (bringsBack && (await expiredBefore(database)).some((before, level) => before !== expired[level])) {
      throw new WeirError('WEIR_STATE', 'transient', 'preparing windows: rows expired while they were read');
    }
  }

  /**
   * Takes everything that changed in a partition, as of `prepare`. It counts as written: write it, or open the
   * partition anew.
   */
  collect(owned: OpenPartition, now: number): Handout {
    return { owned, move: moveOf(owned), rows: this.rowsOf(owned, now) };
  }

  /**
   * As `collect` of one partition after the other, for a `write` that begins at once: between two of them, what is
   * encoded goes out, so the database works meanwhile. The fold must wait until `done`.
   */
  collectAll<Partition extends OpenPartition>(
    partitions: readonly Partition[],
    now: number,
  ): { outgoing: readonly (Outgoing<Partition> & { rows: Promise<Rows> })[]; done: Promise<void> } {
    const coming = partitions.map((owned) => ({
      owned,
      move: moveOf(owned),
      ...Promise.withResolvers<Rows>(),
    }));
    const work = async (): Promise<void> => {
      try {
        for (const { owned, resolve } of coming) {
          await turn();
          resolve(this.rowsOf(owned, now));
        }
      } catch (error) {
        for (const { reject } of coming) reject(error);
        throw error;
      }
    };
    for (const { promise } of coming) promise.catch(() => undefined); // `done` tells it
    return {
      outgoing: coming.map(({ owned, move, promise: rows }) => ({ owned, move, rows })),
      done: work(),
    };
  }

  private rowsOf({ state, parts }: OpenPartition, now: number): Rows {
    const levels = Array.from({ length: LEVEL_COUNT }, (_, level) => ({
      added: new WindowRows(level, this.memory),
      changed: new WindowRows(level, this.memory),
    }));
    const sinks = parts.filter((part): part is PartOfPartition & RowSink => part.row !== undefined);
    state.collect({
      row(level, series, window, previous, stored) {
        const { added, changed } = levels[level] as EncodedLevel;
        (stored ? changed : added).add(series.id, window);
        for (const sink of sinks) sink.row(level, series, window, previous, stored);
      },
    });
    return { levels, changes: parts.map((part) => part.collect(now)), counts: state.takeCounts() };
  }

  /**
   * Writes what was handed out in one transaction, new rows of the finest level while they are collected. Throws
   * `FencedError` when partitions are lost (nothing is written then), transient errors when nothing is known to be
   * written; calling it again with the same handouts is safe, also when the first COMMIT did happen.
   */
  async write(outgoing: readonly Outgoing[]): Promise<void> {
    const { database, topic } = this.options;
    const moves = outgoing.map(({ move }) => move);
    if (!(this.inDoubt && (await areMoved(database, topic, moves)))) {
      try {
        await this.transact(outgoing, moves, false);
      } catch (error) {
        if (sqlState(error) === UNIQUE_VIOLATION) {
          this.options.onRowsExisted?.();
          await this.transact(outgoing, moves, true);
        } else {
          this.inDoubt = (error as { inDoubt?: boolean }).inDoubt === true || this.inDoubt;
          throw error;
        }
      }
    }
    this.inDoubt = false;
    const collected = await Promise.all(outgoing.map(({ rows }) => rows));
    for (const [i, { owned, move }] of outgoing.entries()) {
      const { levels, changes } = collected[i] as Rows;
      owned.committed = move.position.nextOffset;
      owned.writes = move.writes + 1n;
      for (const { added, changed } of levels) {
        added.release();
        changed.release();
      }
      changes.forEach((change, part) => {
        if (change !== null) owned.parts[part]?.settled?.(change);
      });
    }
  }

  private async transact(
    outgoing: readonly Outgoing[],
    moves: readonly Move[],
    merge: boolean,
  ): Promise<void> {
    const { database, topic, parts } = this.options;
    await database.transaction('writing windows', async (transaction) => {
      await movePartitions(transaction, topic, moves);
      if (!merge) await copyNew(transaction, 0, newPanes(outgoing));
      const handouts = await Promise.all(outgoing.map(({ rows }) => rows));
      for (let level = 0; level < LEVEL_COUNT; level++) {
        const added = handouts.map(({ levels }) => (levels[level] as EncodedLevel).added);
        const changed = handouts.map(({ levels }) => (levels[level] as EncodedLevel).changed);
        const fresh = merge || level === 0 ? [] : added;
        await writeLevel(transaction, level, fresh, merge ? [...added, ...changed] : changed);
      }
      for (const [i, part] of parts.entries()) {
        const changes = handouts.map((handout) => handout.changes[i]).filter((change) => change !== null);
        if (changes.length > 0) await part.write(transaction, changes);
      }
    });
  }
}

async function* newPanes(outgoing: readonly Outgoing[]): AsyncGenerator<WindowRows> {
  for (const { rows } of outgoing) yield ((await rows).levels[0] as EncodedLevel).added;
}

/** By level, epoch milliseconds. */
async function expiredBefore(runner: Runner): Promise<number[]> {
  const expiry = await readExpiry(runner);
  return LEVELS.map(({ table }) => expiry.get(table)?.getTime() ?? Number.NEGATIVE_INFINITY);
}

function moveOf({ partition, epoch, committed, writes, state }: OpenPartition): Move {
  return { partition, epoch, writes, expected: committed, position: state.position() };
}

/** Series whose rows are loaded at once: those of 100,000 series do not fit into the memory of the process. */
const BATCH = 1_000;

/** Stretches of about BATCH series, each with all series of its devices. */
function* wholeDevices(series: readonly StoredSeries[]): Generator<StoredSeries[]> {
  let batch: StoredSeries[] = [];
  for (const list of Map.groupBy(series, ({ site, device }) => JSON.stringify([site, device])).values()) {
    batch.push(...list);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
