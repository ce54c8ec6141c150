import { writeFileSync } from 'node:fs';
import { type FleetReport, reportHtml, runFleet, scenarioNames } from '@weir/load';
import { Command } from 'commander';
import { Finished } from '../finished.ts';
import { interruptible } from '../fleet/interruptible.ts';
import { LiveView } from '../fleet/live-view.ts';
import { serveLoad } from '../fleet/load-metrics.ts';
import { addLoadOptions, type LoadOptions, runSettings, scenarioOf } from '../fleet/load-options.ts';
import { reportText } from '../fleet/report-text.ts';
import { tellTrouble } from '../fleet/trouble.ts';
import { Output, type Terminal } from '../output.ts';

interface Options extends LoadOptions {
  readonly out?: string;
  readonly html?: string;
  readonly metrics?: boolean;
  readonly json?: boolean;
}

async function run(terminal: Terminal, name: string, options: Options): Promise<void> {
  const output = new Output(terminal, options.json);
  const scenario = scenarioOf(name, options);
  const settings = runSettings(scenario, options);
  const view = new LiveView(terminal, scenario);
  const trouble = tellTrouble((text) => view.trouble(text));
  const interrupted = interruptible(() =>
    view.trouble('Ending: what is due later is not sent. Ctrl-C again leaves the sinks unread.'),
  );
  const figures = options.metrics === true ? await serveLoad(scenario.name, options.data) : undefined;
  let report: FleetReport;
  try {
    report = await runFleet({
      ...settings,
      signal: interrupted.signal,
      onSecond: (second) => {
        figures?.set(second);
        view.second(second);
      },
      onStage: (what) => view.stage(what),
      onTrouble: trouble,
    });
  } finally {
    view.close();
    interrupted.end();
    figures?.close();
  }
  if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
  if (options.html !== undefined) writeFileSync(options.html, reportHtml(report));
  output.result(report, () => reportText(report, output));
  if (report.thresholds.some(({ passed }) => !passed)) throw new Finished(1);
}

export const loadCommand = (terminal: Terminal): Command =>
  addLoadOptions(new Command('load'))
    .description('run a scenario open loop, and read at every sink what became of it')
    .argument('<scenario>', `one of ${scenarioNames().join(', ')}, or a file`)
    .option('--out <file>', 'write the report as JSON')
    .option('--html <file>', 'write the report as one page with charts')
    .option('--metrics', 'serve /metrics on the port of the fleet while it runs')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir fleet load smoke
  $ weir fleet load steady-1hz --devices 20000 --duration 10m --out steady.json --html steady.html

The schedule does not wait for answers: latencies count from when a publish was meant to leave.
Exit code 1: a threshold does not hold.`,
    )
    .action((name: string, options: Options) => run(terminal, name, options));
