import { compareWithLimits, type Observation, type SeriesKey } from '@weir/alerts';
import type { RuleOf } from '@weir/config/alert-rules';
import { type FiguresRead, meanOf, ratePerSecond, stddevOf } from '@weir/windows';

/** Null: the window has no such figure. */
function figureOf(figures: FiguresRead, figure: RuleOf<'window'>['figure']): number | null {
  switch (figure) {
    case 'mean':
      return meanOf(figures);
    case 'stddev':
      return stddevOf(figures);
    case 'rate':
      return ratePerSecond({ ...figures, sketch: null });
    default:
      return figures[figure];
  }
}

/**
 * A closed window as a rule about windows sees it.
 * @param score of the window, for rules about anomalies; null: too little is known
 * @param end epoch milliseconds
 */
export function observeWindow(
  rule: RuleOf<'window' | 'anomaly'>,
  series: SeriesKey,
  figures: FiguresRead,
  score: number | null,
  end: number,
): Observation {
  const value = rule.kind === 'anomaly' ? score : figureOf(figures, rule.figure);
  // What has no value meets nothing and ends nothing.
  if (value === null || !Number.isFinite(value))
    return { ...series, ts: end, met: false, cleared: false, value: null, threshold: rule.above ?? null };
  return { ...series, ts: end, ...compareWithLimits(rule, value) };
}
