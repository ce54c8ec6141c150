import { writeFileSync } from 'node:fs';
import { type FleetReport, runFleet, scenarioNames } from '@weir/load';
import { Command } from 'commander';
import { Finished } from '../finished.ts';
import { LiveView } from '../fleet/live-view.ts';
import { addLoadOptions, type LoadOptions, runSettings, scenarioOf } from '../fleet/load-options.ts';
import { reportText } from '../fleet/report-text.ts';
import { tellTrouble } from '../fleet/trouble.ts';
import { Output, type Terminal } from '../output.ts';

interface Options extends LoadOptions {
  readonly out?: string;
  readonly json?: boolean;
}

/** Ctrl-C ends the sending; a second one ends the reading of the sinks too. */
export function interruptible(onFirst: () => void): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    onFirst();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return {
    signal: controller.signal,
    end: () => {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    },
  };
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
  let report: FleetReport;
  try {
    report = await runFleet({
      ...settings,
      signal: interrupted.signal,
      onSecond: (second) => view.second(second),
      onStage: (what) => view.stage(what),
      onTrouble: trouble,
    });
  } finally {
    view.close();
    interrupted.end();
  }
  if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
  output.result(report, () => reportText(report, output));
  if (report.thresholds.some(({ passed }) => !passed)) throw new Finished(1);
}

export const loadCommand = (terminal: Terminal): Command =>
  addLoadOptions(new Command('load'))
    .description('run a scenario open loop, and read at every sink what became of it')
    .argument('<scenario>', `one of ${scenarioNames().join(', ')}, or a file`)
    .option('--out <file>', 'write the report as JSON')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir fleet load smoke
  $ weir fleet load steady-1hz --devices 20000 --duration 10m --out steady.json

The schedule does not wait for answers: latencies count from when a publish was meant to leave.
Exit code 1: a threshold does not hold.`,
    )
    .action((name: string, options: Options) => run(terminal, name, options));
