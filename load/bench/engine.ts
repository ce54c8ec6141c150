import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Machine, machine, median, round, saveResult } from './report.ts';

interface Figures {
  readonly readings: number;
  readonly readingsPerSecond: number;
  /** User and system time. */
  readonly cpuNanoseconds: number;
  /** Rows handed out per reading. */
  readonly rows: number;
  readonly bytesPerSeries: number;
}

/** What one process measured with one number of series: windows and sketches alone, then with duplicates looked for. */
export interface EngineRun extends Figures {
  readonly series: number;
  readonly withIdentities: Figures;
}

interface EngineResult {
  readonly date: string;
  readonly machine: Machine;
  readonly sizes: readonly Size[];
}

interface Size {
  readonly series: number;
  /** Medians. */
  readonly windows: Middle;
  readonly withIdentities: Middle;
  readonly runs: readonly EngineRun[];
}
type Middle = Omit<Figures, 'readings' | 'rows'>;

const middleOf = (runs: readonly Figures[]): Middle => ({
  readingsPerSecond: median(runs.map((run) => run.readingsPerSecond)),
  cpuNanoseconds: median(runs.map((run) => run.cpuNanoseconds)),
  bytesPerSeries: median(runs.map((run) => run.bytesPerSeries)),
});

const SIZES = [1_000, 20_000, 100_000];

export interface EngineOptions {
  readonly runs: number;
  readonly json: boolean;
  readonly save: boolean;
  readonly say: (text: string) => void;
}

/** The window engine alone, each size in processes of its own. */
export function engine({ runs, json, save, say }: EngineOptions): number {
  const sizes = SIZES.map((series) => {
    const measured = Array.from({ length: runs }, (_, i) => {
      say(`  ${series} series, run ${i + 1} of ${runs}`);
      const text = execFileSync(process.execPath, [
        join(import.meta.dirname, 'engine-run.ts'),
        String(series),
      ]);
      return JSON.parse(text.toString('utf8')) as EngineRun;
    });
    return {
      series,
      windows: middleOf(measured),
      withIdentities: middleOf(measured.map((run) => run.withIdentities)),
      runs: measured,
    };
  });
  const result: EngineResult = { date: new Date().toISOString(), machine: machine(), sizes };
  process.stdout.write(`${json ? JSON.stringify(result) : renderEngine(result)}\n`);
  if (save) say(`Written to ${saveResult(result, 'engine')}.`);
  return 0;
}

function renderEngine({ sizes }: EngineResult): string {
  const head = ['series', 'readings/s', 'CPU ns', 'bytes/series', '+ duplicates/s', 'CPU ns', 'bytes/series'];
  const figures = ({ readingsPerSecond, cpuNanoseconds, bytesPerSeries }: Middle): string[] =>
    [readingsPerSecond, cpuNanoseconds, bytesPerSeries].map((figure) => round(figure, 0));
  const rows = sizes.map((size) => [
    round(size.series, 0),
    ...figures(size.windows),
    ...figures(size.withIdentities),
  ]);
  const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(15)).join('');
  return [
    'engine: six levels with sketches, 1 Hz, rows handed out each second; one thread, no input or output.',
    'On the right with readings that have numbers, so that repetitions are looked for.',
    line(head),
    ...rows.map(line),
  ].join('\n');
}
