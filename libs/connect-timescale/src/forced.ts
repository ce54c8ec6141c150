import { TABLES } from '@weir/topology';
import type { ForcedReading, PartitionState } from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Runner } from './database.ts';

/** Of one partition and transaction: the readings that count now, and those that were buried. */
interface ForcedChange {
  readonly partition: number;
  readonly counted: readonly ForcedReading[];
  /** Identities; empty unless `replaysFrom` is given. */
  readonly buried: readonly string[];
}

interface ForcedPart extends PartOfPartition<ForcedChange> {
  readonly partition: number;
  readonly state: PartitionState;
  /** Asks about the forced readings that wait, and settles them. */
  settle(runner: Runner): Promise<void>;
}

export interface ForcedOptions {
  /**
   * For a fold of the archive, whose rule of lateness may be another than that of the time: a replay counts only when
   * this fold has buried its reading, or begins after the record that the reading lay in. Answers the first offset
   * of a partition. Absent: every replay is of a reading that was buried.
   */
  readonly replaysFrom?: (partition: number) => bigint;
}

/** The memory of which late readings were brought back by replays; asked in `prepare`, written with the windows. */
export function forcedReadings({ replaysFrom }: ForcedOptions = {}): CommitPart<ForcedChange, ForcedPart> {
  return {
    name: 'forced readings',
    async open(_runner, partition, state) {
      let counted: readonly ForcedReading[] = [];
      let buried: string[] = [];
      if (replaysFrom !== undefined) state.rememberLate();
      return {
        partition,
        state,
        async settle(runner) {
          if (replaysFrom !== undefined) buried.push(...state.takeLate());
          const waiting = state.forcedReadings();
          if (waiting.length === 0) return;
          const known = await lookUp(runner, waiting);
          for (const identity of buried) if (!known.has(identity)) known.set(identity, false);
          const refused = waiting.filter(({ identity, origin }) => {
            const wasCounted = known.get(identity);
            if (wasCounted !== undefined) return wasCounted;
            return replaysFrom !== undefined && origin >= replaysFrom(partition);
          });
          counted = [...counted, ...state.settleForced(new Set(refused.map(({ identity }) => identity)))];
        },
        collect() {
          if (counted.length === 0 && buried.length === 0) return null;
          const change = { partition, counted, buried };
          counted = [];
          buried = [];
          return change;
        },
      };
    },

    async prepare(runner, parts) {
      for (const part of parts) await part.settle(runner);
    },

    async write(transaction, changes) {
      const rows = changes.flatMap(({ partition, counted, buried }) => [
        ...buried.map((identity) => ({ identity, partition, offset: null })),
        ...counted.map(({ identity, offset }) => ({ identity, partition, offset: String(offset) })),
      ]);
      // One row for each identity: buried and brought back in one transaction is brought back.
      const last = [...new Map(rows.map((row) => [row.identity, row])).values()];
      await transaction.query(
        `keeping ${last.length} forced readings`,
        `INSERT INTO ${TABLES.forcedReadings} AS f (identity, partition, replay_offset)
         SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[])
         ON CONFLICT (identity) DO UPDATE SET replay_offset = coalesce(f.replay_offset, EXCLUDED.replay_offset)`,
        [
          last.map(({ identity }) => identity),
          last.map(({ partition }) => partition),
          last.map(({ offset }) => offset),
        ],
      );
    },
  };
}

/** Whether readings were counted; without an entry: nothing is known of them. */
async function lookUp(runner: Runner, readings: readonly ForcedReading[]): Promise<Map<string, boolean>> {
  const rows = await runner.query<{ identity: string; counted: boolean }>(
    `looking up ${readings.length} forced readings`,
    `SELECT identity, replay_offset IS NOT NULL AS counted
       FROM ${TABLES.forcedReadings} WHERE identity = ANY($1::uuid[])`,
    [readings.map(({ identity }) => identity)],
  );
  return new Map(rows.map(({ identity, counted }) => [identity, counted]));
}

/** Those of these identities that were brought back, and the offset of the record that did it. */
export async function areCounted(
  runner: Runner,
  identities: readonly string[],
): Promise<ReadonlyMap<string, bigint>> {
  const rows = await runner.query<{ identity: string; offset: string }>(
    `looking up ${identities.length} forced readings`,
    `SELECT identity, replay_offset AS "offset" FROM ${TABLES.forcedReadings}
      WHERE identity = ANY($1::uuid[]) AND replay_offset IS NOT NULL`,
    [identities],
  );
  return new Map(rows.map(({ identity, offset }) => [identity, BigInt(offset)]));
}
