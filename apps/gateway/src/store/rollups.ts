import {
  type Database,
  listRollups,
  type RollupAnswer,
  type RollupQuery,
  type RollupSeries,
  readRollups,
} from '@weir/connect-timescale';
import type { Grouping } from '@weir/windows';

/** Roll-ups as they are configured now; those of earlier definitions are not shown. */
export interface RollupStore {
  /** The grouping that a group of this name would belong to. */
  groupingOf(group: string): Grouping | undefined;
  /** By group and metric. */
  list(
    after: readonly [group: string, metric: string] | null,
    limit: number,
  ): Promise<readonly RollupSeries[]>;
  /** Null when the group has none of the metric. */
  windows(query: RollupQuery): Promise<RollupAnswer | null>;
}

export function rollupStore(database: Database, groupings: readonly Grouping[]): RollupStore {
  const definitions = groupings.map(({ definition }) => definition);
  return {
    groupingOf(group) {
      const by = group
        .split('/')
        .map((part) => part.split('=', 1)[0])
        .join('+');
      return groupings.find((one) => one.by === by);
    },
    list: (after, limit) => listRollups(database, definitions, after, limit),
    windows: (query) => readRollups(database, query),
  };
}
