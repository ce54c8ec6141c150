import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type BenchResult, machine, median, round, saveResult } from './report.ts';

/** What one process measured with one number of series. */
export interface EngineRun {
  readonly series: number;
  readonly readings: number;
  readonly readingsPerSecond: number;
  /** User and system time. */
  readonly cpuNanoseconds: number;
  /** Rows handed out per reading. */
  readonly rows: number;
  readonly bytesPerSeries: number;
  readonly rssMiB: number;
}

interface EngineResult {
  readonly date: string;
  readonly machine: BenchResult['machine'];
  readonly sizes: readonly (Omit<EngineRun, 'readings' | 'rows'> & { readonly runs: readonly EngineRun[] })[];
}

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
    const middle = (of: (run: EngineRun) => number): number => median(measured.map(of));
    return {
      series,
      readingsPerSecond: middle((run) => run.readingsPerSecond),
      cpuNanoseconds: middle((run) => run.cpuNanoseconds),
      bytesPerSeries: middle((run) => run.bytesPerSeries),
      rssMiB: middle((run) => run.rssMiB),
      runs: measured,
    };
  });
  const result: EngineResult = { date: new Date().toISOString(), machine: machine(), sizes };
  process.stdout.write(`${json ? JSON.stringify(result) : renderEngine(result)}\n`);
  if (save) say(`Written to ${saveResult(result, 'engine')}.`);
  return 0;
}

function renderEngine({ sizes }: EngineResult): string {
  const head = ['series', 'readings/s', 'CPU ns/reading', 'bytes/series', 'resident MiB'];
  const rows = sizes.map((size) => [
    round(size.series, 0),
    round(size.readingsPerSecond, 0),
    round(size.cpuNanoseconds, 0),
    round(size.bytesPerSeries, 0),
    round(size.rssMiB, 0),
  ]);
  const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(16)).join('');
  return [
    'engine: duplicates, six levels, sketches; 1 Hz, a collect each second; one thread, no input or output',
    line(head),
    ...rows.map(line),
  ].join('\n');
}
