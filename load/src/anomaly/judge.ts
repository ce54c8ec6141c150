import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AnomalyAlarm, AnomalySeries } from '@weir/windows';
import { readRecording } from '../fleet/recording.ts';

export const RECORDINGS = join(import.meta.dirname, '../../recordings');
const WEEK_MS = 7 * 86_400_000;

/** A series with the stretches in which something was wrong, epoch milliseconds, both ends inclusive. */
export interface Labelled {
  readonly name: string;
  readonly series: readonly AnomalySeries[];
  readonly windows: readonly (readonly [from: number, to: number])[];
}

/**
 * The recordings of a folder in the form of the Numenta Anomaly Benchmark: CSV files of time (UTC) and value, and
 * labels.json, which lists the labelled windows of each file.
 */
export function readLabelled(folder = RECORDINGS): Labelled[] {
  const labels = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  return Object.entries(labels).map(([name, windows]) => {
    const { times, values } = readRecording(join(folder, name));
    return {
      name: name.replace(/\.csv$/, ''),
      series: times.map((time, i) => ({ ts: utc(time), value: values[i] as number })),
      windows: windows.map(([from, to]) => [utc(from), utc(to)] as const),
    };
  });
}

const utc = (text: string): number => Date.parse(`${text.trim().replace(' ', 'T')}Z`);

export interface Verdict {
  /** For each labelled window: an alarm began in it, one that began before it was still flagging readings, or none. */
  readonly found: readonly ('began' | 'ongoing' | 'missed')[];
  /** Alarms that flagged no reading of a labelled window. */
  readonly falseAlarms: readonly AnomalyAlarm[];
  readonly weeks: number;
  readonly falseAlarmsPerWeek: number;
  /** Part of the time outside of labelled windows in which an alarm was open: one that never ends is one alarm too. */
  readonly falseShare: number;
}

/** Alarms are counted whole: one episode from its first to its last flagged reading is one alarm. */
export function judge({ series, windows }: Labelled, alarms: readonly AnomalyAlarm[]): Verdict {
  const touches = ({ from, to }: AnomalyAlarm, [start, end]: readonly [number, number]): boolean =>
    from <= end && to >= start;
  const falseAlarms = alarms.filter((alarm) => !windows.some((window) => touches(alarm, window)));
  const span = (series.at(-1)?.ts ?? 0) - (series[0]?.ts ?? 0);
  const weeks = span / WEEK_MS;
  const inside = (from: number, to: number): number =>
    windows.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(to, end) - Math.max(from, start)), 0);
  const flagged = alarms.reduce((sum, { from, to }) => sum + (to - from - inside(from, to)), 0);
  return {
    found: windows.map((window) => {
      const touching = alarms.filter((alarm) => touches(alarm, window));
      if (touching.some(({ from }) => from >= window[0])) return 'began';
      return touching.length > 0 ? 'ongoing' : 'missed';
    }),
    falseAlarms,
    weeks,
    falseAlarmsPerWeek: falseAlarms.length / weeks,
    falseShare: flagged / (span - inside(series[0]?.ts ?? 0, series.at(-1)?.ts ?? 0)),
  };
}
