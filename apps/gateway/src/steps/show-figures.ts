import type { Figures } from '@weir/api';
import type { Progress } from '@weir/connect-timescale';
import { type FiguresRead, meanOf, stddevOf } from '@weir/windows';

export const time = (ms: number): string => new Date(ms).toISOString();
export const timeOrNull = (ms: number): string | null => (Number.isFinite(ms) ? time(ms) : null);

/** Whether a window that ends at `end` can still change, and how. */
export function finality(
  end: number,
  { watermark, finalTo }: Progress,
): { isClosed: boolean; isFinal: boolean } {
  return { isClosed: end <= watermark, isFinal: end <= finalTo };
}

/** The figures of a window of `lengthMs` as the API shows them. */
export function showFigures(window: Omit<FiguresRead, 'start'>, lengthMs: number): Figures {
  const { count, sum, min, max, first, firstTs, last, lastTs, p50, p90, p99 } = window;
  return {
    count,
    eventsPerSecond: (count * 1_000) / lengthMs,
    sum: finite(sum),
    min,
    max,
    mean: finite(meanOf(window)),
    stddev: count < 2 ? null : finite(stddevOf(window)),
    median: p50,
    p50,
    p90,
    p99,
    first,
    firstAt: time(firstTs),
    last,
    lastAt: time(lastTs),
    rateOfChange: firstTs === lastTs ? null : finite(((last - first) * 1_000) / (lastTs - firstTs)),
  };
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
