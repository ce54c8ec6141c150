import {
  allocateSeries,
  areMoved,
  type Database,
  loadWindows,
  type Move,
  movePartitions,
  sqlState,
  WindowRows,
  writeLevel,
} from '@weir/connect-timescale';
import { type ColdRange, type Counts, LEVEL_COUNT, type LevelChanges } from '@weir/windows';
import type { Events } from '../events.ts';
import type { Held } from '../partitions.ts';

/** The rows of one level of one partition, encoded. */
interface EncodedLevel {
  readonly added: WindowRows;
  readonly changed: WindowRows;
}

/** What one partition hands to a transaction. Encoded at once, so the fold may go on while it is written. */
export interface Handout {
  readonly held: Held;
  readonly move: Move;
  readonly levels: readonly EncodedLevel[];
  readonly counts: Counts;
  readonly readings: number;
  readonly samples: readonly number[];
}

/** Keys for new series, and the stored rows that late readings change. The fold must wait meanwhile. */
export async function prepareWindows(database: Database, partitions: readonly Held[]): Promise<void> {
  const fresh = partitions.flatMap(({ state }) => state.freshSeries());
  if (fresh.length > 0) {
    const ids = await allocateSeries(database, fresh);
    fresh.forEach((series, i) => {
      series.id = ids[i] as number;
    });
  }
  const ranges = partitions.flatMap(({ state }) => state.coldRanges());
  for (let level = 0; level < LEVEL_COUNT - 1; level++) {
    const here = ranges.filter((range) => range.level === level);
    if (here.length === 0) continue;
    const bySeries = new Map<number, ColdRange>(here.map((range) => [range.series.id, range]));
    const stretches = here.map(({ series, from, to }) => ({ seriesId: series.id, from, to }));
    for (const { seriesId, figures } of await loadWindows(database, level, stretches))
      bySeries.get(seriesId)?.series.supply(level, figures);
  }
}

/** Takes every changed row of a partition, encoded for COPY. */
export function collectWindows(held: Held): Handout {
  const changes: LevelChanges[] = Array.from({ length: LEVEL_COUNT }, () => ({ added: [], changed: [] }));
  held.state.collect(performance.now(), changes);
  const levels = changes.map(({ added, changed }, level) => ({
    added: encode(level, added),
    changed: encode(level, changed),
  }));
  const { partition, epoch, committed, folded, samples } = held;
  held.folded = 0;
  held.samples = [];
  return {
    held,
    move: { partition, epoch, expected: committed, position: held.state.position() },
    levels,
    counts: held.state.takeCounts(),
    readings: folded,
    samples,
  };
}

function encode(level: number, changes: LevelChanges['added']): WindowRows {
  const rows = new WindowRows(level, changes.length);
  for (const { series, window } of changes) rows.add(series.id, window);
  return rows;
}

/**
 * Makes a step that writes handouts and offsets in one transaction. Throws `FencedError` when partitions are lost
 * (nothing is written then), transient errors when nothing is known to be written; calling it again with the same
 * handouts is safe, also when the first COMMIT did happen.
 */
export function write(topic: string, database: Database, events: Events) {
  let inDoubt = false;
  return async function writeWindows(handouts: readonly Handout[]): Promise<void> {
    const moves = handouts.map(({ move }) => move);
    if (inDoubt && moves.some(({ expected, position }) => expected !== position.nextOffset)) {
      if (await areMoved(database, topic, moves)) {
        inDoubt = false;
        return;
      }
    }
    try {
      await transact(handouts, moves, false);
    } catch (error) {
      if (sqlState(error) === UNIQUE_VIOLATION) {
        events.rowsExisted();
        await transact(handouts, moves, true);
      } else {
        inDoubt = (error as { inDoubt?: boolean }).inDoubt === true || inDoubt;
        throw error;
      }
    }
    inDoubt = false;
  };

  async function transact(
    handouts: readonly Handout[],
    moves: readonly Move[],
    merge: boolean,
  ): Promise<void> {
    await database.transaction('writing windows', async (transaction) => {
      await movePartitions(transaction, topic, moves);
      for (let level = 0; level < LEVEL_COUNT; level++) {
        const added = handouts.map(({ levels }) => (levels[level] as EncodedLevel).added);
        const changed = handouts.map(({ levels }) => (levels[level] as EncodedLevel).changed);
        await writeLevel(transaction, level, merge ? [] : added, merge ? [...added, ...changed] : changed);
      }
    });
  }
}

const UNIQUE_VIOLATION = '23505';
