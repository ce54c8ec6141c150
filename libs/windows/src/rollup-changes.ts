import { Rollup } from './rollup.ts';
import type { Grouping } from './rollup-groups.ts';
import type { RowSink, SeriesInfo } from './types.ts';
import type { Figures } from './window.ts';

/** The devices of one group, and one metric of theirs. */
export interface RollupGroup {
  readonly grouping: Grouping;
  readonly name: string;
  readonly metric: string;
}

/** What became of one window of a group. */
export interface RollupChange {
  readonly group: RollupGroup;
  /** 1.. */
  readonly level: number;
  readonly change: Rollup;
}

/** A grouping and the event time from which on it has seen all rows. */
export interface RollupScope {
  readonly grouping: Grouping;
  /** Only windows that start later are rolled up, epoch milliseconds. */
  readonly since: number;
}

interface Group extends RollupGroup {
  readonly since: number;
  /** By start + level: starts are multiples of 10 s. */
  readonly changes: Map<number, RollupChange>;
}

/** Gathers what the device rows of one partition change in its roll-ups. Between two `take`s it holds changes only. */
export class RollupChanges implements RowSink {
  private readonly scopes: readonly RollupScope[];
  private readonly groups = new Map<string, Group>();
  /** Series with the same groups share one list. */
  private readonly lists = new Map<string, readonly Group[]>();
  private readonly bySeries = new Map<number, readonly Group[]>();
  private changed: RollupChange[] = [];

  constructor(scopes: readonly RollupScope[]) {
    this.scopes = scopes;
  }

  row(level: number, series: SeriesInfo, window: Figures, previous: Figures | null): void {
    if (level === 0) return;
    const groups = this.bySeries.get(series.id) ?? this.groupsOf(series);
    for (const group of groups) {
      if (window.start <= group.since) continue;
      let found = group.changes.get(window.start + level);
      if (found === undefined) {
        found = { group, level, change: new Rollup(window.start) };
        group.changes.set(window.start + level, found);
        this.changed.push(found);
      }
      found.change.replace(series, window, previous);
    }
  }

  /** What changed since the last call. */
  take(): readonly RollupChange[] {
    const taken = this.changed;
    this.changed = [];
    for (const { group } of taken) (group as Group).changes.clear();
    return taken;
  }

  private groupsOf({ id, site, device, metric }: SeriesInfo): readonly Group[] {
    const groups: Group[] = [];
    for (const { grouping, since } of this.scopes) {
      const name = grouping.groupOf(site, device);
      if (name === null) continue;
      const key = `${grouping.by} ${name} ${metric}`;
      let group = this.groups.get(key);
      if (group === undefined) {
        group = { grouping, name, metric, since, changes: new Map() };
        this.groups.set(key, group);
      }
      groups.push(group);
    }
    const key = [...groups.map(({ grouping, name }) => `${grouping.by} ${name}`), metric].join(' ');
    const shared = this.lists.get(key) ?? groups;
    this.lists.set(key, shared);
    this.bySeries.set(id, shared);
    return shared;
  }
}
