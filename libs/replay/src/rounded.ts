import type { RoundedReading, Value } from '@weir/connect-timescale';
import { alignDown, LEVEL_COUNT, LEVEL_MS } from '@weir/windows';

/** A sum in another order: this share of the largest term, for each term. */
const ROUNDING = 1e-12;

const key = (series: number, start: number): string => `${series} ${start}`;

/**
 * Windows that took a replayed reading straight, because the rows they are made of had expired: their sum and m2 were
 * added up in another order than a recomputation adds them. Everything else of them must be the same bits.
 */
export class RoundedWindows {
  private readonly levels: readonly ReadonlySet<string>[];

  constructor(readings: readonly RoundedReading[]) {
    this.levels = Array.from({ length: LEVEL_COUNT }, (_, level) => {
      const reached = readings.filter(({ finest }) => finest <= level);
      return new Set(
        reached.map(({ seriesId, ts }) => key(seriesId, alignDown(ts, LEVEL_MS[level] as number))),
      );
    });
  }

  has(level: number, series: number, start: number): boolean {
    return this.levels[level]?.has(key(series, start)) === true;
  }
}

/** Whether only the order of adding up can be why two rows of one window differ. */
export function isRounding(
  differences: Readonly<Record<string, { readonly stored: Value; readonly recomputed: Value }>>,
  { count, min, max }: Readonly<Record<string, Value>>,
): boolean {
  const largest = Math.max(Math.abs(Number(min)), Math.abs(Number(max)));
  const bounds: Readonly<Record<string, number>> = {
    sum: ROUNDING * Number(count) * largest,
    m2: ROUNDING * Number(count) * largest * largest,
  };
  return Object.entries(differences).every(([name, { stored, recomputed }]) => {
    const bound = bounds[name];
    return bound !== undefined && Math.abs(Number(stored) - Number(recomputed)) <= bound;
  });
}
