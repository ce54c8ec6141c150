import { TABLES } from '@weir/topology';
import {
  type Derive,
  type DerivedCounts,
  type DerivedMetric,
  deriving,
  type PartitionState,
} from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Runner, Transaction } from './database.ts';

export interface DerivationOptions {
  /** As configured; null: as each partition remembers them, and nothing else. */
  readonly metrics: readonly DerivedMetric[] | null;
  /** Told of the lines that are folded, not of those that are read again. */
  readonly counts?: (metric: string) => DerivedCounts;
}

/** Definitions and the offset from which on they hold. */
interface Derivation {
  readonly since: bigint;
  readonly metrics: readonly DerivedMetric[];
}

interface DerivationHandout extends Derivation {
  readonly partition: number;
}

class PartitionDerivations implements PartOfPartition<DerivationHandout> {
  /** Must be written with the first lines that follow it. */
  private fresh: DerivationHandout | null;

  constructor(fresh: DerivationHandout | null) {
    this.fresh = fresh;
  }
  collect(): DerivationHandout | null {
    return this.fresh;
  }
  settled(): void {
    this.fresh = null;
  }
}

/**
 * Derived metrics. Each partition remembers from which offset on which definitions hold, so that reading its log again
 * gives the same readings after the configuration has changed. New definitions hold for lines that were not folded yet;
 * where nothing is remembered and nothing was folded, as in a rebuild, for all.
 */
export function derivationPart({
  metrics,
  counts,
}: DerivationOptions): CommitPart<DerivationHandout, PartitionDerivations> {
  return {
    name: 'derived metrics',
    async open(runner: Runner, partition: number, state: PartitionState): Promise<PartitionDerivations> {
      const rows = await runner.query<{ since: string; metrics: DerivedMetric[] }>(
        `reading the derived metrics of partition ${partition}`,
        `SELECT since_offset AS since, metrics FROM ${TABLES.derivations} WHERE partition = $1 ORDER BY since_offset`,
        [partition],
      );
      const stored = rows.map((row) => ({ since: BigInt(row.since), metrics: row.metrics }));
      const { history, fresh } =
        metrics === null
          ? { history: stored, fresh: null }
          : follow(partition, stored, metrics, state.nextOffset);
      if (history.some((one) => one.metrics.length > 0)) state.deriveWith(deriveBy(history, state, counts));
      return new PartitionDerivations(fresh);
    },
    async write(transaction: Transaction, handouts: readonly DerivationHandout[]): Promise<void> {
      for (const { partition, since, metrics: definitions } of handouts) {
        const doing = `writing the derived metrics of partition ${partition}`;
        await transaction.query(
          doing,
          `DELETE FROM ${TABLES.derivations} WHERE partition = $1 AND since_offset >= $2`,
          [partition, String(since)],
        );
        await transaction.query(
          doing,
          `INSERT INTO ${TABLES.derivations} (partition, since_offset, metrics) VALUES ($1, $2, $3)`,
          [partition, String(since), JSON.stringify(definitions)],
        );
      }
    },
  };
}

function follow(
  partition: number,
  stored: readonly Derivation[],
  metrics: readonly DerivedMetric[],
  next: bigint,
): { history: readonly Derivation[]; fresh: DerivationHandout | null } {
  // A log that was made anew begins before what is remembered of the old one.
  const history = stored.filter(({ since }) => since <= next);
  const last = history.at(-1);
  if (history.length === stored.length && signature(last?.metrics ?? []) === signature(metrics))
    return { history, fresh: null };
  const fresh = { partition, since: next, metrics };
  return { history: [...history.filter(({ since }) => since < next), fresh], fresh };
}

/** Gives a schema what the partitions of another one remember. */
export async function copyDerivations(from: Runner, to: Runner): Promise<void> {
  const rows = await from.query<{ partition: number; since: string; metrics: unknown }>(
    'reading the derived metrics',
    `SELECT partition, since_offset AS since, metrics FROM ${TABLES.derivations}`,
  );
  await to.query(
    'copying the derived metrics',
    `INSERT INTO ${TABLES.derivations} (partition, since_offset, metrics)
     SELECT * FROM unnest($1::int[], $2::bigint[], $3::jsonb[]) ON CONFLICT DO NOTHING`,
    [
      rows.map(({ partition }) => partition),
      rows.map(({ since }) => since),
      rows.map(({ metrics }) => JSON.stringify(metrics)),
    ],
  );
}

function deriveBy(
  history: readonly Derivation[],
  state: PartitionState,
  counts: DerivationOptions['counts'],
): Derive {
  const all = history.map(({ since, metrics }) => ({ since, derive: deriving(metrics) })).reverse();
  const newest = all[0] as (typeof all)[number];
  const counted = deriving(history.at(-1)?.metrics ?? [], counts);
  return (envelope, sent, offset) => {
    if (offset >= newest.since) return (offset < state.nextOffset ? newest.derive : counted)(envelope, sent);
    return all.find(({ since }) => since <= offset)?.derive(envelope, sent) ?? sent;
  };
}

const signature = (metrics: readonly DerivedMetric[]): string =>
  JSON.stringify(
    metrics.map(({ metric, expression, unit, match }) => [metric, expression, unit ?? null, match]),
  );
