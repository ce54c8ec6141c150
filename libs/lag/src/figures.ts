import type { Trail } from './trail.ts';
import { type Figures, type Measurement, WINDOW_MS } from './types.ts';

type Place = Pick<Measurement, 'committed' | 'start' | 'end'>;

/**
 * Records that wait: `max(end - max(committed, start), 0)`. Null when nothing is committed, and when the committed place
 * lies beyond the end: then it belongs to a log that is gone, and says nothing of this one.
 */
export function lagOf({ committed, start, end }: Place): number | null {
  if (committed === null || committed > end) return null;
  return Math.max(end - Math.max(committed, start), 0);
}

/** Records that were deleted before the group has read them. */
export function lostOf({ committed, start, end }: Place): number {
  return committed === null || committed > end ? 0 : Math.max(start - committed, 0);
}

/** The next record that the group will get: what it committed, or what retention has left. */
export const placeOf = ({ committed, start }: Pick<Place, 'committed' | 'start'>): number | null =>
  committed === null ? null : Math.max(committed, start);

/** Measurements of the last minute, oldest first, all of one log and without a rewind between them. */
export type Window = readonly Measurement[];

/** Puts a measurement into the window, which reaches back a minute. */
export function slide(window: Window, next: Measurement): Window {
  const from = next.at - WINDOW_MS;
  return [...window.filter(({ at }) => at >= from), next];
}

/** Change of `what` a second over the window; null while it spans no time, or when one end of it is unknown. */
function rate(window: Window, what: (one: Measurement) => number | null): number | null {
  const [first, last] = [window[0], window.at(-1)];
  if (first === undefined || last === undefined || last.at <= first.at) return null;
  const [from, to] = [what(first), what(last)];
  return from === null || to === null ? null : ((to - from) / (last.at - first.at)) * 1_000;
}

/**
 * The figures of a partition.
 * @param startRate records a second by which retention moves the start of the log; null: it does not, or unknown
 */
export function figuresOf(window: Window, trail: Trail, startRate: number | null): Figures {
  const now = window.at(-1) as Measurement;
  const distance = lagOf(now);
  const lag = distance !== null && now.nothing === true ? 0 : distance;
  const time = timeLag(now, lag, trail);
  const velocity = rate(window, lagOf);
  const outRate = rate(window, ({ committed }) => committed);
  const margin = now.committed === null || lag === null ? null : Math.max(now.committed - now.start, 0);
  return {
    lag,
    ...time,
    velocity,
    etaMs:
      lag === 0 ? 0 : lag !== null && velocity !== null && velocity < 0 ? (lag / -velocity) * 1_000 : null,
    retentionMarginItems: margin,
    timeToLossMs: timeToLoss(now, lag, time.timeLagMs, margin, startRate, outRate),
    inRate: atLeastZero(rate(window, ({ end }) => end)),
    outRate: atLeastZero(outRate),
  };
}

const atLeastZero = (value: number | null): number | null => (value === null ? null : Math.max(value, 0));

function timeLag(
  now: Measurement,
  lag: number | null,
  trail: Trail,
): Pick<Figures, 'timeLagMs' | 'timeLagBy'> {
  const place = placeOf(now);
  if (lag === null || place === null) return { timeLagMs: null, timeLagBy: null };
  if (lag === 0) return { timeLagMs: 0, timeLagBy: 'caught-up' };
  if (now.headAt != null) return { timeLagMs: Math.max(now.at - now.headAt, 0), timeLagBy: 'record' };
  const came = trail.timeOf(place);
  if (came === null) return { timeLagMs: null, timeLagBy: null };
  return { timeLagMs: Math.max(now.at - came.at, 0), timeLagBy: came.exact ? 'interpolated' : 'at-least' };
}

/** By the age that retention allows, and by the pace at which the start of the log comes nearer; whichever is sooner. */
function timeToLoss(
  { retentionMs }: Measurement,
  lag: number | null,
  timeLagMs: number | null,
  margin: number | null,
  startRate: number | null,
  outRate: number | null,
): number | null {
  if (lag === null || lag === 0) return null;
  const byAge = retentionMs == null || timeLagMs === null ? null : Math.max(retentionMs - timeLagMs, 0);
  const nearer = startRate === null ? 0 : startRate - (outRate ?? 0);
  const byPlace = margin === null || nearer <= 0 ? null : (margin / nearer) * 1_000;
  if (byAge === null || byPlace === null) return byAge ?? byPlace;
  return Math.min(byAge, byPlace);
}
