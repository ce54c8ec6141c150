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
  readonly metrics: readonly DerivedMetric[];
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
      // A log that was made anew begins before what is remembered of the old one.
      const history: Derivation[] = stored.filter(({ since }) => since <= state.nextOffset);
      let fresh: DerivationHandout | null = null;
      if (history.length < stored.length || signature(history.at(-1)?.metrics ?? []) !== signature(metrics)) {
        fresh = { partition, since: state.nextOffset, metrics };
        if (history.at(-1)?.since === fresh.since) history.pop();
        history.push(fresh);
      }
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
