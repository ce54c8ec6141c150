import type { FleetReport } from './report.ts';
import { figuresOf } from './thresholds.ts';

export interface Difference {
  readonly figure: string;
  readonly a: number | null;
  readonly b: number | null;
  /** b against a: 0.1 is a tenth more; null when that has no meaning. */
  readonly change: number | null;
  readonly verdict: 'better' | 'worse' | 'same' | 'other';
}

/** More of these is better. Of latencies, memory and what went wrong less is; of the rest it means nothing. */
const MORE = /^(goodput|carried|rate|acknowledged|.*\.acknowledged|.*\.found)$/;
const LESS =
  /(^|\.)(p[\d.]+|mean|max|lost|duplicates|foreign|missing|windows|archive)$|^(lost|unsent|sentLate|unacknowledged|refused|reconnects|failedDials|resent|rss.*|growth.*)$/;

/**
 * The figures of two runs beside each other.
 * @param tolerance share by which a figure may differ and still be the same
 */
export function compareReports(a: FleetReport, b: FleetReport, tolerance: number): Difference[] {
  const [before, after] = [figuresOf(a), figuresOf(b)];
  const names = [...new Set([...before.keys(), ...after.keys()])];
  return names.map((figure): Difference => {
    const [x, y] = [before.get(figure) ?? null, after.get(figure) ?? null];
    const change = x === null || y === null || x === 0 ? null : (y - x) / Math.abs(x);
    const isSame = x === y || (change !== null && Math.abs(change) <= tolerance);
    const grew = x !== null && y !== null && y > x;
    const hasMeaning = x !== null && y !== null && (MORE.test(figure) || LESS.test(figure));
    const isBetter = MORE.test(figure) ? grew : !grew;
    return {
      figure,
      a: x,
      b: y,
      change,
      verdict: isSame ? 'same' : !hasMeaning ? 'other' : isBetter ? 'better' : 'worse',
    };
  });
}

/** What makes two runs two different tests; empty when they are the same one. */
export function unlike(a: FleetReport, b: FleetReport): string[] {
  const found: string[] = [];
  const check = (what: string, x: unknown, y: unknown) => {
    if (JSON.stringify(x) !== JSON.stringify(y)) found.push(`${what}: ${x} and ${y}`);
  };
  check('scenario', a.scenario, b.scenario);
  check('devices', a.devices, b.devices);
  check('duration, s', a.durationS, b.durationS);
  check('readings/s meant', Math.round(a.offeredPerSecond), Math.round(b.offeredPerSecond));
  check('targets', a.targets.length, b.targets.length);
  check('machine', a.machine.cpus, b.machine.cpus);
  return found;
}
