import { type Window, type WindowList, windowList, type windowsQuery } from '@weir/api';
import type { Progress, WindowRow } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import type { z } from 'zod';
import { decodeCursor, encodeCursor } from '../http/cursor.ts';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { onlySite } from './find-device.ts';
import { finality, showFigures, time, timeOrNull } from './show-figures.ts';

const HOUR = 3_600_000;
/** A chart has about as many points as this. */
const POINTS = 600;

export type Level = (typeof LEVELS)[number];

/** The finest level that shows `rangeMs` in at most 600 windows, else the coarsest. */
export function levelFor(rangeMs: number): Level {
  const fits = LEVELS.find(({ seconds }) => rangeMs <= seconds * 1_000 * POINTS);
  return fits ?? LEVELS[LEVELS.length - 1]!;
}

/** An answer about windows of this length is kept for a quarter of it: it must not hide that one has closed. */
export const freshFor = (seconds: number): number => seconds * 250;

/** The range that was asked for, epoch milliseconds: the hour up to now unless it says otherwise. */
export function rangeOf(
  query: { readonly from?: number | undefined; readonly to?: number | undefined },
  now: number,
): { readonly from: number; readonly to: number } {
  const to = query.to ?? now;
  const from = query.from ?? to - HOUR;
  if (from >= to) throw new ApiProblem('bad-request', 'from: must lie before `to`.');
  return { from, to };
}

/** Where a page begins: at the cursor, which must lie in [from, end], else at `from`. Epoch milliseconds. */
export function pageStart(cursor: string | undefined, from: number, end: number): number {
  const start = cursor === undefined ? from : Number(decodeCursor(cursor, 1)[0]);
  if (start >= from && start <= end) return start;
  throw new ApiProblem(
    'bad-request',
    'cursor: not one of this range; leave it out to begin at the first page.',
  );
}

/** Windows of one metric of a device in [from, to), oldest first. */
export function readWindows(store: Store, now: () => number = Date.now) {
  return function readWindows(
    name: string,
    query: z.output<typeof windowsQuery>,
  ): Question<typeof windowList> {
    const { from, to } = rangeOf(query, now());
    const level = LEVELS.find((one) => one.name === query.level) ?? levelFor(to - from);
    const start = pageStart(query.cursor, from, to);
    const { site, metric, limit } = query;
    return {
      // Without `to` the question is "until now": the same for everybody who asks it within the time to live.
      key: `windows:${JSON.stringify([name, site, metric, level.name, query.from, query.to, limit, query.cursor])}`,
      freshMs: freshFor(level.seconds),
      schema: windowList,
      load: async (): Promise<WindowList> => {
        const state = onlySite(await store.seriesState(name, site, metric), name, site);
        const range = { level: level.name, from: start, to, limit: limit + 1 };
        const rows = state.seriesId === null ? [] : await store.windows(state.seriesId, range);
        const after = rows[limit];
        return {
          device: name,
          site: state.site,
          metric,
          unit: state.unit,
          level: level.name,
          seconds: level.seconds,
          from: time(from),
          to: time(to),
          watermark: timeOrNull(state.watermark),
          windows: rows.slice(0, limit).map((row) => showWindow(row, level, state)),
          next: after === undefined ? null : encodeCursor([after.figures.start]),
        };
      },
    };
  };
}

/** A stored window as the API shows it. */
export function showWindow({ figures, revision }: WindowRow, level: Level, progress: Progress): Window {
  const lengthMs = level.seconds * 1_000;
  const end = figures.start + lengthMs;
  return {
    start: time(figures.start),
    end: time(end),
    ...showFigures(figures, lengthMs),
    revision,
    ...finality(end, progress),
  };
}
