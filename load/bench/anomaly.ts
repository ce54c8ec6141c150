import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ANOMALY, type AnomalyParameters, scoreSeries } from '@weir/windows';
import { judge, type Labelled, RECORDINGS, readLabelled, type Verdict } from '../src/anomaly/judge.ts';
import { plot } from '../src/anomaly/plot.ts';
import { FAULTS, SIGNALS, synthetic } from '../src/anomaly/synthetic.ts';

const RESULTS = join(import.meta.dirname, '../results');
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Level and spread are made of whole hours. */
const HOURLY: readonly string[] = ['levelMs', 'spreadMs'];

export interface AnomalyOptions {
  /** Folder of CSV files and labels.json in the form of the Numenta Anomaly Benchmark. */
  readonly recordings: string | undefined;
  readonly json: boolean;
  readonly save: boolean;
  readonly say: (text: string) => void;
}

/**
 * The anomaly score on labelled recordings, the same with each parameter 30 % smaller and larger, and on synthetic
 * series; of recordings of one's own the first alone. Exit code 1 when a labelled window is missed or there is more
 * than one false alarm a week.
 */
export function anomaly({ recordings, json, save, say }: AnomalyOptions): number {
  const own = recordings === undefined;
  const labelled = readLabelled(resolve(recordings ?? RECORDINGS));
  const verdicts = labelled.map((one) => {
    const { scores, alarms } = scoreSeries(one.series);
    if (save) {
      mkdirSync(RESULTS, { recursive: true });
      const file = join(RESULTS, `anomaly-${one.name}.svg`);
      writeFileSync(file, plot(one, scores, alarms));
      say(`Plotted to ${file}.`);
    }
    return judge(one, alarms);
  });
  const perturbed = own ? sensitivity(labelled, say) : [];
  const signals = own ? onSynthetic(say) : [];
  if (json) {
    const named = labelled.map(({ name }, i) => ({ name, ...verdicts[i] }));
    process.stdout.write(`${JSON.stringify({ recordings: named, perturbed, signals })}\n`);
  } else {
    process.stdout.write(`${tableOf(labelled, verdicts)}\n`);
    if (own) process.stdout.write(`\n${perturbedTable(labelled, perturbed)}\n\n${signalTable(signals)}\n`);
  }
  const good = verdicts.every(
    ({ found, falseAlarmsPerWeek }) => falseAlarmsPerWeek <= 1 && !found.includes('missed'),
  );
  return good ? 0 : 1;
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
const SHOWN = { began: 'yes', ongoing: 'began before', missed: 'NO' } as const;

function tableOf(labelled: readonly Labelled[], verdicts: readonly Verdict[]): string {
  return labelled
    .map(({ name, windows }, i) => {
      const { found, falseAlarms, weeks, falseAlarmsPerWeek, falseShare } = verdicts[i] as Verdict;
      return [
        `${name}: ${falseAlarms.length} false alarms in ${weeks.toFixed(1)} weeks, ${falseAlarmsPerWeek.toFixed(2)} a week; open ${(falseShare * 100).toFixed(1)} % of the time outside of the labelled windows`,
        ...windows.map(
          ([from, to], w) => `  labelled ${day(from)} – ${day(to)}: ${SHOWN[found[w] ?? 'missed']}`,
        ),
        ...falseAlarms.map(
          ({ from, to, cause, peak }) =>
            `  false    ${day(from)} – ${day(to)}: ${cause}, score ${peak.toFixed(2)}`,
        ),
      ].join('\n');
    })
    .join('\n');
}

interface Perturbed {
  readonly parameter: string;
  readonly factor: number;
  readonly verdicts: readonly { readonly found: string; readonly falseAlarmsPerWeek: number }[];
}

function sensitivity(labelled: readonly Labelled[], say: (text: string) => void): Perturbed[] {
  return Object.entries(ANOMALY).flatMap(([parameter, value]) =>
    [0.7, 1.3].map((factor) => {
      say(`  ${parameter} × ${factor}`);
      const step = HOURLY.includes(parameter) ? HOUR_MS : Number.isInteger(value) ? 1 : 0;
      const moved = step === 0 ? value * factor : Math.round((value * factor) / step) * step;
      const parameters: AnomalyParameters = { ...ANOMALY, [parameter]: moved };
      const verdicts = labelled.map((one) => judge(one, scoreSeries(one.series, parameters).alarms));
      return {
        parameter,
        factor,
        verdicts: verdicts.map(({ found, falseAlarmsPerWeek }) => ({
          found: `${found.filter((way) => way !== 'missed').length} of ${found.length}`,
          falseAlarmsPerWeek,
        })),
      };
    }),
  );
}

function perturbedTable(labelled: readonly Labelled[], rows: readonly Perturbed[]): string {
  return [
    `With one parameter moved: labelled windows found, false alarms a week (${labelled.map(({ name }) => name).join('; ')})`,
    ...rows.map(
      ({ parameter, factor, verdicts }) =>
        `  ${`${parameter} × ${factor}`.padEnd(24)}${verdicts.map((one) => `${one.found}, ${one.falseAlarmsPerWeek.toFixed(2)}`).join('; ')}`,
    ),
  ].join('\n');
}

interface SignalRow {
  readonly signal: string;
  /** By fault. */
  readonly found: Readonly<Record<string, number>>;
  readonly falseAlarmsPerWeek: number;
  /** Of the worst series. */
  readonly worst: number;
  readonly falseShare: number;
}
const SEEDS = [1, 2, 3];

function onSynthetic(say: (text: string) => void): SignalRow[] {
  return SIGNALS.map((signal) => {
    say(`  ${signal}`);
    const found: Record<string, number> = {};
    let falseAlarms = 0;
    let weeks = 0;
    let worst = 0;
    let share = 0;
    for (const fault of FAULTS) {
      for (const seed of SEEDS) {
        const one = synthetic({ signal, fault, seed, days: 42, stepMs: 5 * MINUTE_MS });
        const verdict = judge(one, scoreSeries(one.series).alarms);
        const hits = verdict.found.filter((way) => way !== 'missed').length;
        if (fault !== 'none') found[fault] = (found[fault] ?? 0) + hits;
        falseAlarms += verdict.falseAlarms.length;
        weeks += verdict.weeks;
        worst = Math.max(worst, verdict.falseAlarmsPerWeek);
        share += verdict.falseShare;
      }
    }
    const falseShare = share / (FAULTS.length * SEEDS.length);
    return { signal, found, falseAlarmsPerWeek: falseAlarms / weeks, worst, falseShare };
  });
}

function signalTable(rows: readonly SignalRow[]): string {
  const faults = FAULTS.filter((fault) => fault !== 'none');
  return [
    `Synthetic series of six weeks, ${SEEDS.length} of each: faults found, false alarms a week (worst series), time in alarm without a fault`,
    `  ${'signal'.padEnd(16)}${faults.map((fault) => fault.padStart(8)).join('')}`,
    ...rows.map(
      ({ signal, found, falseAlarmsPerWeek, worst, falseShare }) =>
        `  ${signal.padEnd(16)}${faults.map((fault) => `${found[fault]}/${SEEDS.length}`.padStart(8)).join('')}  ${falseAlarmsPerWeek.toFixed(2)} (${worst.toFixed(2)})  ${(falseShare * 100).toFixed(1)} %`,
    ),
  ].join('\n');
}
