import {
  type RollupList,
  type RollupWindow,
  type RollupWindowList,
  rollupList,
  type rollupsQuery,
  rollupWindowList,
  type rollupWindowsQuery,
} from '@weir/api';
import { ROLLUP_LEVELS } from '@weir/topology';
import type { Rollup } from '@weir/windows';
import type { z } from 'zod';
import { decodeCursor, encodeCursor } from '../http/cursor.ts';
import { ApiProblem } from '../http/problems.ts';
import type { RollupStore } from '../store/rollups.ts';
import type { Question } from './answer-cached.ts';
import { levelFor, pageStart, rangeOf } from './read-windows.ts';
import { time, timeOrNull } from './show-figures.ts';

/** The groups that have roll-ups, and of which metrics. */
export function listRollups(store: RollupStore) {
  return function listRollups({ limit, cursor }: z.output<typeof rollupsQuery>): Question<typeof rollupList> {
    const after = cursor === undefined ? null : decodeCursor(cursor, 2).map(String);
    return {
      key: `rollups:${JSON.stringify([limit, cursor])}`,
      schema: rollupList,
      load: async (): Promise<RollupList> => {
        const found = await store.list(after as [string, string] | null, limit + 1);
        const last = found.length > limit ? found[limit - 1] : undefined;
        return {
          rollups: found
            .slice(0, limit)
            .map(({ name, groupedBy, metric }) => ({ group: name, groupedBy, metric })),
          next: last === undefined ? null : encodeCursor([last.name, last.metric]),
        };
      },
    };
  };
}

/** Windows of one metric of a group of devices in [from, to), oldest first. */
export function readRollups(store: RollupStore, now: () => number = Date.now) {
  return function readRollups(query: z.output<typeof rollupWindowsQuery>): Question<typeof rollupWindowList> {
    const { from, to } = rangeOf(query, now());
    const wanted = query.level ?? levelFor(to - from).name;
    const level = ROLLUP_LEVELS.find(({ name }) => name === wanted) ?? ROLLUP_LEVELS[0];
    const start = pageStart(query.cursor, from, to);
    const { group, metric, limit } = query;
    const grouping = store.groupingOf(group);
    if (grouping === undefined) {
      throw new ApiProblem(
        'group-not-found',
        `${group.slice(0, 200)}: devices are not grouped like that; \`rollups.by\` in the configuration says how.`,
      );
    }
    return {
      key: `rollup:${JSON.stringify([group, grouping.definition, metric, level.name, query.from, query.to, limit, query.cursor])}`,
      schema: rollupWindowList,
      load: async (): Promise<RollupWindowList> => {
        const answer = await store.windows({
          ...{ definition: grouping.definition, group, metric, level, limit: limit + 1 },
          ...{ from: new Date(start), to: new Date(to) },
        });
        if (answer === null) {
          throw new ApiProblem(
            'group-not-found',
            `No reading of ${metric} has been rolled up for ${group.slice(0, 200)}.`,
          );
        }
        const after = answer.windows[limit];
        return {
          ...{ group, groupedBy: grouping.by, metric, level: level.name, seconds: level.seconds },
          ...{ from: time(from), to: time(to), since: timeOrNull(answer.since) },
          windows: answer.windows.slice(0, limit).map((one) => showRollup(one, level.seconds * 1_000)),
          next: after === undefined ? null : encodeCursor([after.start]),
        };
      },
    };
  };
}

function showRollup(rollup: Rollup, lengthMs: number): RollupWindow {
  const { start, firstTs, lastTs, ...figures } = rollup.figures();
  return {
    start: time(start),
    end: time(start + lengthMs),
    ...figures,
    eventsPerSecond: (figures.count * 1_000) / lengthMs,
    median: figures.p50,
    firstAt: time(firstTs),
    lastAt: time(lastTs),
  };
}
