import { TABLES } from '@weir/topology';
import type { CountedReading, ForcedReading, PartitionState } from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Runner } from './database.ts';
import { epochMs } from './windows.ts';

/** Of one partition and transaction: the readings that count now, and those that were buried. */
interface ForcedChange {
  readonly partition: number;
  readonly counted: readonly CountedReading[];
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
      let counted: readonly CountedReading[] = [];
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
            return replaysFrom !== undefined && origin !== null && origin >= replaysFrom(partition);
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
        ...buried.map((identity) => ({ identity, partition, counted: null })),
        ...counted.map((reading) => ({ identity: reading.identity, partition, counted: reading })),
      ]);
      // One row for each identity: buried and brought back in one transaction is brought back.
      const last = [...new Map(rows.map((row) => [row.identity, row])).values()];
      await transaction.query(
        `keeping ${last.length} forced readings`,
        `INSERT INTO ${TABLES.forcedReadings} AS f (identity, partition, replay_offset, series_id, ts, finest)
         SELECT identity, partition, replay_offset, series_id, to_timestamp(ts / 1000), finest
           FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::int[], $5::float8[], $6::smallint[])
             AS n(identity, partition, replay_offset, series_id, ts, finest)
         ON CONFLICT (identity) DO UPDATE SET replay_offset = EXCLUDED.replay_offset,
           series_id = EXCLUDED.series_id, ts = EXCLUDED.ts, finest = EXCLUDED.finest
          WHERE f.replay_offset IS NULL`,
        [
          last.map(({ identity }) => identity),
          last.map(({ partition }) => partition),
          last.map(({ counted }) => (counted === null ? null : String(counted.offset))),
          last.map(({ counted }) => counted?.seriesId ?? null),
          last.map(({ counted }) => counted?.ts ?? null),
          last.map(({ counted }) => counted?.finest ?? null),
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

/** A reading that was brought back behind the retention of finer levels. */
export interface RoundedReading {
  readonly seriesId: number;
  /** Epoch milliseconds. */
  readonly ts: number;
  /** Index of the finest level whose row it changed. */
  readonly finest: number;
}

/**
 * Readings that were merged straight into rows above the finest level: sums and deviations of those, and of the rows
 * above, are rounded otherwise than in a recomputation.
 */
export function roundedReadings(runner: Runner): Promise<RoundedReading[]> {
  return runner.query<RoundedReading & Record<string, unknown>>(
    'reading what was brought back behind the retention',
    `SELECT series_id AS "seriesId", ${epochMs('ts')} AS ts, finest
       FROM ${TABLES.forcedReadings} WHERE finest > 0`,
  );
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
