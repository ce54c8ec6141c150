import { type Series, type SeriesPoint, series, type seriesQuery } from '@weir/api';
import { type PieceRow, type Progress, readFigures } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import { LONGEST_MERGE_MS, WindowMerger } from '@weir/windows';
import type { z } from 'zod';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { onlySite } from './find-device.ts';
import { type Cell, cellsOf, piecesOf, planStretches, stepFor } from './plan-series.ts';
import { freshFor, rangeOf } from './read-windows.ts';
import { finality, showFigures, time, timeOrNull } from './show-figures.ts';

/** More points than this are not put into one answer. */
const MOST_POINTS = 10_000;
const SECOND = 1_000;

/**
 * One metric over [from, to) in points of one length: every point of the range is there, merged from the coarsest
 * windows that fit into it, with finer ones at the ends and where coarse ones are not closed yet.
 */
export function readSeries(store: Store, now: () => number = Date.now) {
  return function readSeries(name: string, query: z.output<typeof seriesQuery>): Question<typeof series> {
    const asked = rangeOf(query, now());
    const from = Math.floor(asked.from / SECOND) * SECOND;
    const to = Math.ceil(asked.to / SECOND) * SECOND;
    const level = LEVELS.find((one) => one.name === query.level);
    const stepMs = level === undefined ? stepFor(to - from, query.points) : level.seconds * SECOND;
    if ((to - from) / stepMs > MOST_POINTS) {
      throw new ApiProblem(
        'bad-request',
        `level: the range has more than ${MOST_POINTS} windows of ${query.level}; leave it out, or ask for less time.`,
      );
    }
    if (stepMs > LONGEST_MERGE_MS) {
      const least = Math.ceil((to - from) / LONGEST_MERGE_MS) + 1;
      throw new ApiProblem('bad-request', `points: so long a range takes at least ${least} points.`);
    }
    const { site, metric } = query;
    return {
      key: `series:${JSON.stringify([name, site, metric, query.level, query.points, query.from, query.to])}`,
      freshMs: freshFor(stepMs / SECOND),
      schema: series,
      load: async (): Promise<Series> => {
        const state = onlySite(await store.seriesState(name, site, metric), name, site);
        const stretches = planStretches(from, to, stepMs, state);
        const rows =
          state.seriesId === null ? [] : await store.pieces(state.seriesId, piecesOf(stretches, stepMs));
        return {
          device: name,
          site: state.site,
          metric,
          unit: state.unit,
          from: time(stretches[0]?.from ?? from),
          to: time(stretches.at(-1)?.to ?? to),
          watermark: timeOrNull(state.watermark),
          seconds: stepMs / SECOND,
          stretches: stretches.map((one) => ({
            level: one.level === null ? null : (LEVELS[one.level]?.name ?? null),
            from: time(one.from),
            to: time(one.to),
            windows: rows.filter(({ figures: { start } }) => start >= one.from && start < one.to).length,
          })),
          points: pointsOf(cellsOf(stretches, stepMs), rows, state),
        };
      },
    };
  };
}

/** @param rows by start; none reaches over the end of a cell */
function pointsOf(cells: readonly Cell[], rows: readonly PieceRow[], progress: Progress): SeriesPoint[] {
  const merger = new WindowMerger();
  let next = 0;
  return cells.map(({ start, end }) => {
    const first = next;
    while (next < rows.length && (rows[next] as PieceRow).figures.start < end) next++;
    const parts = rows.slice(first, next);
    return {
      start: time(start),
      end: time(end),
      ...finality(end, progress),
      figures: parts.length === 0 ? null : showFigures(readFigures(merger, start, parts), end - start),
    };
  });
}
