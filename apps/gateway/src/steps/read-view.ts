import { type View, type ViewPoint, view, type viewsQuery } from '@weir/api';
import type { Piece, SeriesState } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import {
  alignDown,
  EWMA_MEMORY,
  ewmaOf,
  type Figures,
  hoppingWindows,
  LEVEL_MS,
  meanOf,
  quantileOf,
  ratePerSecond,
} from '@weir/windows';
import type { z } from 'zod';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { onlySite } from './find-device.ts';
import { rangeOf } from './read-windows.ts';
import { finality, showFigures, time, timeOrNull } from './show-figures.ts';

/** More points than this are not put into one answer. */
const MOST_POINTS = 10_000;
/** More stored windows than this are not read for one answer. */
export const MOST_PANES = 40_000;
/** A window that slides has at least this many panes, when its size allows. */
const PANES = 10;

type Query = z.output<typeof viewsQuery>;
/** What to read and how to make points of it; times are epoch milliseconds. */
interface Plan {
  readonly level: number;
  readonly hopMs: number;
  readonly piece: Piece;
  points(
    panes: readonly Figures[],
  ): Iterable<{ readonly start: number; readonly end: number; readonly shown: Shown }>;
}
type Shown = Pick<ViewPoint, 'figures' | 'value'>;

/** A view of one metric of a device over [from, to), merged from stored windows of one level. */
export function readView(store: Store, now: () => number = Date.now) {
  return function readView(name: string, query: Query): Question<typeof view> {
    const { from, to } = rangeOf(query, now());
    const { kind, site, metric, size } = query;
    const plan = planView(query, from, to);
    return {
      key: `view:${JSON.stringify([name, site, metric, kind, size, query.hop, query.from, query.to])}`,
      schema: view,
      load: async (): Promise<View> => {
        const state = onlySite(await store.seriesState(name, site, metric), name, site);
        const rows = state.seriesId === null ? [] : await store.pieces(state.seriesId, [plan.piece]);
        const points = [...plan.points(rows.map(({ figures }) => figures))];
        return {
          ...{ device: name, site: state.site, metric, unit: state.unit, kind },
          sizeSeconds: size / 1_000,
          hopSeconds: plan.hopMs / 1_000,
          level: levelAt(plan.level).name,
          from: time(from),
          to: time(to),
          watermark: timeOrNull(state.watermark),
          availableFrom: availableFrom(state, plan.level),
          points: points.map(({ start, end, shown }) => ({
            start: time(start),
            end: time(end),
            ...finality(end, state),
            ...shown,
          })),
        };
      },
    };
  };
}

export const availableFrom = (state: SeriesState, level: number): string | null =>
  timeOrNull(state.expiredBefore[level] as number);

function planView(query: Query, from: number, to: number): Plan {
  const plan = query.kind === 'ewma' ? planEwma(query, from, to) : planWindows(query, from, to);
  const paneMs = LEVEL_MS[plan.level] as number;
  const points = (to - from) / plan.hopMs;
  if (points > MOST_POINTS) {
    throw new ApiProblem(
      'bad-request',
      `hop: the range has more than ${MOST_POINTS} points; take a longer hop, or ask for less time.`,
    );
  }
  if ((plan.piece.to - plan.piece.from) / paneMs > MOST_PANES) {
    throw new ApiProblem(
      'bad-request',
      `hop: this takes more than ${MOST_PANES} windows of ${levelAt(plan.level).name}; take a hop and a size that coarser windows divide, or ask for less time.`,
    );
  }
  return plan;
}

function planWindows(query: Query, from: number, to: number): Plan {
  const sizeMs = query.size;
  const hopMs = query.hop ?? (query.kind === 'hopping' ? sizeMs : slideOf(sizeMs));
  const level = LEVEL_MS.findLastIndex((paneMs) => sizeMs % paneMs === 0 && hopMs % paneMs === 0);
  // An average belongs to the end of its window: the ends lie in (from, to].
  const trailing = query.kind === 'moving-average' || query.kind === 'rate';
  const first = trailing ? from - sizeMs + 1 : from;
  const last = trailing ? to - sizeMs + 1 : to;
  const show = shownBy(query.kind, sizeMs);
  return {
    level,
    hopMs,
    piece: { level, from: first, to: last + sizeMs, merged: true },
    points: function* (panes) {
      const options = { paneMs: LEVEL_MS[level] as number, sizeMs, hopMs, from: first, to: last };
      for (const { start, figures } of hoppingWindows(panes, options))
        yield { start, end: start + sizeMs, shown: show(figures) };
    },
  };
}

/** The size of the coarsest stored windows of which `sizeMs` has ten, else of the finest. */
function slideOf(sizeMs: number): number {
  return (
    LEVEL_MS.findLast((paneMs) => sizeMs % paneMs === 0 && sizeMs / paneMs >= PANES) ??
    (LEVEL_MS[0] as number)
  );
}

function shownBy(kind: Query['kind'], sizeMs: number): (window: Figures | null) => Shown {
  switch (kind) {
    case 'moving-average':
      return (window) => ({ value: window === null ? null : finite(meanOf(window)) });
    case 'rate':
      return (window) => ({ value: window === null ? null : ratePerSecond(window) });
    default:
      return (window) => ({ figures: window === null ? null : withQuantiles(window, sizeMs) });
  }
}

function withQuantiles(window: Figures, lengthMs: number) {
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => quantileOf(window, q)) as [number, number, number];
  return showFigures({ ...window, p50, p90, p99 }, lengthMs);
}

function planEwma(query: Query, from: number, to: number): Plan {
  const hopMs = query.hop ?? slideOf(query.size);
  const level = LEVEL_MS.indexOf(hopMs);
  if (level < 0) {
    const names = LEVELS.map(({ name }) => name).join(', ');
    throw new ApiProblem('bad-request', `hop: of an ewma one of the sizes of stored windows: ${names}.`);
  }
  const first = alignDown(from + hopMs - 1, hopMs);
  // What came before counts for less than can be seen, or there is more of it than is read.
  const learn = Math.min(EWMA_MEMORY * query.size, Math.max(0, (MOST_PANES - 1) * hopMs - (to - first)));
  return {
    level,
    hopMs,
    piece: { level, from: alignDown(first - learn, hopMs), to, merged: false },
    points: function* (panes) {
      const values = new Map<number, number>();
      for (const { start, value } of ewmaOf(panes, query.size)) values.set(start, value);
      for (let start = first; start < to; start += hopMs)
        yield { start, end: start + hopMs, shown: { value: finite(values.get(start) ?? Number.NaN) } };
    },
  };
}

const levelAt = (level: number): (typeof LEVELS)[number] => LEVELS[level] as (typeof LEVELS)[number];
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
