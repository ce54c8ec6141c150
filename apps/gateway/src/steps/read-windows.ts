import { type Window, type WindowList, windowList, type windowsQuery } from '@weir/api';
import type { WindowRow } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import type { z } from 'zod';
import { decodeCursor, encodeCursor } from '../http/cursor.ts';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { siteOf } from './find-device.ts';

const HOUR = 3_600_000;
/** A chart has about as many points as this. */
const POINTS = 600;

export type Level = (typeof LEVELS)[number];

/** The finest level that shows `rangeMs` in at most 600 windows, else the coarsest. */
export function levelFor(rangeMs: number): Level {
  const fits = LEVELS.find(({ seconds }) => rangeMs <= seconds * 1_000 * POINTS);
  return fits ?? LEVELS[LEVELS.length - 1]!;
}

/** Windows of one metric of a device in [from, to), oldest first. */
export function readWindows(store: Store, now: () => number = Date.now) {
  return function readWindows(
    name: string,
    query: z.output<typeof windowsQuery>,
  ): Question<typeof windowList> {
    const to = query.to ?? now();
    const from = query.from ?? to - HOUR;
    if (from >= to) throw new ApiProblem('bad-request', 'from: must lie before `to`.');
    const level = LEVELS.find((one) => one.name === query.level) ?? levelFor(to - from);
    const start = query.cursor === undefined ? from : Number(decodeCursor(query.cursor, 1)[0]);
    if (!(start >= from && start <= to)) {
      throw new ApiProblem(
        'bad-request',
        'cursor: not one of this range; leave it out to begin at the first page.',
      );
    }
    const { site, metric, limit } = query;
    return {
      // Without `to` the question is "until now": the same for everybody who asks it within the time to live.
      key: `windows:${JSON.stringify([name, site, metric, level.name, query.from, query.to, limit, query.cursor])}`,
      schema: windowList,
      load: async (): Promise<WindowList> => {
        const where = await siteOf(store, name, site);
        const rows = await store.windows({
          device: name,
          site: where,
          metric,
          level: level.name,
          from: new Date(start),
          to: new Date(to),
          limit: limit + 1,
        });
        const found = await store.device(name, where);
        const after = rows[limit];
        return {
          device: name,
          site: where,
          metric,
          unit: found?.metrics.find((one) => one.name === metric)?.unit ?? null,
          level: level.name,
          seconds: level.seconds,
          from: new Date(from).toISOString(),
          to: new Date(to).toISOString(),
          windows: rows.slice(0, limit).map(asWindow),
          next: after === undefined ? null : encodeCursor([after.start.getTime()]),
        };
      },
    };
  };
}

function asWindow(row: WindowRow): Window {
  const { count, sum, min, max, mean, stddev, first, last, p50, p90, p99, revision } = row;
  return {
    start: row.start.toISOString(),
    ...{ count, sum, min, max, mean, stddev, first, last, p50, p90, p99, revision },
    final: row.isFinal,
  };
}
