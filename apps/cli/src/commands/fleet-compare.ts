import { readFileSync } from 'node:fs';
import { compareReports, type FleetReport, unlike } from '@weir/load';
import { Command } from 'commander';
import { numberWithin } from '../duration.ts';
import { Finished } from '../finished.ts';
import { number, Output, type Terminal, table } from '../output.ts';
import { usage } from '../settings.ts';

interface Options {
  readonly tolerance: string;
  readonly all?: boolean;
  readonly strict?: boolean;
  readonly json?: boolean;
}

export function readReport(file: string): FleetReport {
  let report: FleetReport;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as FleetReport;
  } catch (error) {
    throw usage(`Reading the report ${file}: ${(error as Error).message}`);
  }
  if (report.version === 1 && report.scenario !== undefined) return report;
  throw usage(`${file} is no report of \`weir fleet load --out\`.`);
}

const SIGNS = { better: '✔', worse: '✖', same: '=', other: '·' } as const;

function run(terminal: Terminal, a: string, b: string, options: Options): void {
  const output = new Output(terminal, options.json);
  const tolerance = numberWithin('--tolerance', options.tolerance, 0, 100) / 100;
  const [before, after] = [readReport(a), readReport(b)];
  const differences = compareReports(before, after, tolerance);
  const tests = unlike(before, after);
  const shown = differences.filter(({ verdict }) => options.all === true || verdict !== 'same');
  const worse = differences.filter(({ verdict }) => verdict === 'worse').length;
  output.result({ unlike: tests, differences }, () =>
    [
      ...tests.map((text) => output.style('yellow', `Not the same test: ${text}`)),
      table(
        [
          { title: 'FIGURE', value: ({ figure }) => figure },
          { title: 'A', value: ({ a: x }) => (x === null ? null : number(x, 2)), align: 'right' },
          { title: 'B', value: ({ b: y }) => (y === null ? null : number(y, 2)), align: 'right' },
          {
            title: 'CHANGE',
            value: ({ change }) =>
              change === null ? null : `${change > 0 ? '+' : ''}${(change * 100).toFixed(1)} %`,
            align: 'right',
          },
          { title: '', value: ({ verdict }) => `${SIGNS[verdict]} ${verdict}` },
        ],
        shown,
        `Nothing differs by more than ${options.tolerance} %.`,
      ),
      `${worse} worse, ${differences.filter(({ verdict }) => verdict === 'better').length} better.`,
    ].join('\n'),
  );
  if (options.strict === true && worse > 0) throw new Finished(1);
}

export const compareCommand = (terminal: Terminal): Command =>
  new Command('compare')
    .description('the figures of two runs beside each other')
    .argument('<a.json>', 'report of the first run')
    .argument('<b.json>', 'report of the second run')
    .option('--tolerance <percent>', 'figures that differ by less are the same', '5')
    .option('--all', 'those that are the same too')
    .option('--strict', 'exit code 1 when something is worse')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ weir fleet compare before.json after.json --tolerance 10')
    .action((a: string, b: string, options: Options) => run(terminal, a, b, options));
