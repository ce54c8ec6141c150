import { writeFileSync } from 'node:fs';
import {
  type FleetReport,
  limitByFigures,
  nextFactor,
  PressureWatch,
  planCapacity,
  runFleet,
  type Scenario,
  type Step,
  scaled,
} from '@weir/load';
import { Command } from 'commander';
import { numberWithin, wholeWithin } from '../duration.ts';
import { Finished } from '../finished.ts';
import { interruptible } from '../fleet/interruptible.ts';
import { LiveView } from '../fleet/live-view.ts';
import { addLoadOptions, type LoadOptions, runSettings, scenarioOf } from '../fleet/load-options.ts';
import { tellTrouble } from '../fleet/trouble.ts';
import { bytes, number, Output, type Terminal, table } from '../output.ts';

interface Options extends LoadOptions {
  readonly from: string;
  readonly trials: string;
  readonly precision: string;
  readonly targetDevices?: string;
  readonly targetRate: string;
  readonly out?: string;
  readonly json?: boolean;
}

interface Trial extends Step {
  readonly report: FleetReport;
  /** Why it did not pass; empty when it did. */
  readonly why: readonly string[];
  readonly bottleneck: string | null;
}

/** Less than this share of what was meant is no capacity, whatever the latencies say. */
const CARRIED = 0.98;

function judgeTrial(report: FleetReport): string[] {
  const carried = report.acknowledgedPerSecond / report.offeredPerSecond;
  return [
    ...report.thresholds.filter(({ passed }) => !passed).map(({ sentence }) => sentence),
    ...(carried < CARRIED ? [`only ${(carried * 100).toFixed(0)} % of what was meant was carried`] : []),
    ...(report.settle.windows === null && report.sinks.windows !== undefined
      ? ['the windows were not complete in time']
      : []),
  ];
}

async function trialOf(
  terminal: Terminal,
  scenario: Scenario,
  factor: number,
  options: Options,
  signal: AbortSignal,
): Promise<Trial> {
  const at = scaled(scenario, { rate: factor });
  const settings = runSettings(at, options);
  const view = new LiveView(terminal, at);
  const pressure = new PressureWatch(settings.gatewayUrl ?? '');
  pressure.start();
  try {
    const report = await runFleet({
      ...settings,
      signal,
      onSecond: (second) => view.second(second),
      onStage: () => undefined,
      onTrouble: tellTrouble((text) => view.trouble(text)),
    });
    const why = judgeTrial(report);
    return { factor, passed: why.length === 0, report, why, bottleneck: pressure.bottleneck };
  } finally {
    pressure.stop();
    view.close();
  }
}

function planText(best: FleetReport, options: Options): readonly string[] {
  if (options.targetDevices === undefined) return [];
  const target = {
    devices: wholeWithin('--target-devices', options.targetDevices, 1, 100_000_000),
    rate: numberWithin('--target-rate', options.targetRate, 0.0001, 10_000),
    metrics: 1,
  };
  const plan = planCapacity(best, target);
  const { inFlight, bytesPerDay } = plan;
  const size = (value: number | null) => (value === null ? 'not measured' : `${bytes(value)} a day`);
  const rows: (readonly [string, string])[] = [
    ['readings', `${number(plan.readingsPerSecond)}/s`],
    ['in flight at the edges', number(inFlight.edge)],
    ['in flight to the windows', inFlight.pipeline === null ? 'not measured' : number(inFlight.pipeline)],
    ['edges', number(plan.edges)],
    ['aggregators', number(plan.consumers)],
    ['partitions', number(plan.partitions)],
    ['cores for Weir', number(plan.cores, 1)],
    ['archive', size(bytesPerDay.archive)],
    ['windows, all levels', size(bytesPerDay.windows)],
  ];
  return [
    '',
    `Plan for ${number(target.devices)} devices at ${target.rate} Hz (L = λ W; processes planned to 70 % of a core):`,
    table(
      [
        { title: 'WHAT', value: ([what]) => what },
        { title: 'NEEDED', value: ([, value]) => value, align: 'right' },
      ],
      rows,
    ),
  ];
}

async function run(terminal: Terminal, name: string, options: Options): Promise<void> {
  const output = new Output(terminal, options.json);
  const scenario = scenarioOf(name, options);
  const most = wholeWithin('--trials', options.trials, 1, 30);
  const precision = numberWithin('--precision', options.precision, 1, 100) / 100;
  const first = numberWithin('--from', options.from, 0.001, 10_000);
  const trials: Trial[] = [];
  const interrupted = interruptible(() => output.note('Ending after this trial.'));
  try {
    for (let factor: number | null = first; factor !== null && trials.length < most; ) {
      if (interrupted.signal.aborted) break;
      output.note(`Trial ${trials.length + 1} of at most ${most}: rates × ${number(factor, 3)} …`);
      const trial = await trialOf(terminal, scenario, factor, options, interrupted.signal);
      if (trial.report.interrupted) break;
      trials.push(trial);
      const what = trial.passed ? 'holds' : `does not hold: ${trial.why.join(' ')}`;
      output.note(`  ${number(trial.report.offeredPerSecond)} readings/s ${what}`);
      factor = nextFactor(trials, first, precision);
    }
  } finally {
    interrupted.end();
  }
  const good = trials.filter(({ passed }) => passed).sort((a, b) => b.factor - a.factor)[0];
  const bad = trials.filter(({ passed }) => !passed).sort((a, b) => a.factor - b.factor)[0];
  const limit =
    bad === undefined ? 'nothing: no trial failed' : (bad.bottleneck ?? limitByFigures(bad.report));
  const result = {
    capacity: good?.report.offeredPerSecond ?? null,
    failsAt: bad?.report.offeredPerSecond ?? null,
    limit,
    trials: trials.map(({ factor, passed, why, report }) => ({
      ...{ factor, passed, why },
      offeredPerSecond: report.offeredPerSecond,
      acknowledgedPerSecond: report.acknowledgedPerSecond,
      ackP99Ms: report.ackMs?.p99 ?? null,
      endToEndP99Ms: report.freshMs.endToEnd?.p99 ?? null,
    })),
  };
  if (options.out !== undefined)
    writeFileSync(options.out, `${JSON.stringify({ ...result, best: good?.report ?? null }, null, 1)}\n`);
  output.result(result, () =>
    [
      table(
        [
          { title: 'RATES ×', value: ({ factor }) => number(factor, 3), align: 'right' },
          { title: 'MEANT/s', value: ({ offeredPerSecond: x }) => number(x), align: 'right' },
          { title: 'ACKNOWLEDGED/s', value: ({ acknowledgedPerSecond: x }) => number(x), align: 'right' },
          {
            title: 'ACK p99 ms',
            value: ({ ackP99Ms: x }) => (x === null ? null : number(x)),
            align: 'right',
          },
          { title: 'HOLDS', value: ({ passed }) => (passed ? 'yes' : 'no') },
        ],
        result.trials,
      ),
      '',
      good === undefined
        ? 'No rate was found at which the thresholds hold.'
        : `Capacity: ${number(good.report.offeredPerSecond)} readings/s${bad === undefined ? ' or more' : `, at ${number(bad.report.offeredPerSecond)}/s it does not hold`}.`,
      `What limits it: ${limit}.`,
      ...(good === undefined ? [] : planText(good.report, options)),
    ].join('\n'),
  );
  if (good === undefined) throw new Finished(1);
}

export const capacityCommand = (terminal: Terminal): Command =>
  addLoadOptions(new Command('capacity'))
    .description('search the highest rate at which the thresholds hold, and plan with it')
    .argument('<scenario>', 'whose rates are multiplied')
    .option('--from <factor>', 'factor of the first trial', '1')
    .option('--trials <n>', 'at most this many', '8')
    .option(
      '--precision <percent>',
      'how near the highest that holds may be to the lowest that does not',
      '10',
    )
    .option('--target-devices <n>', 'plan for a fleet of this size')
    .option('--target-rate <hertz>', 'publishes a second of each of its devices', '1')
    .option('--out <file>', 'write trials and best report as JSON')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir fleet capacity peak --duration 20s --threshold 'ack.p99 < 500ms'
  $ weir fleet capacity steady-1hz --duration 20s --target-devices 100000

Doubles the rate until a threshold fails or less than ${CARRIED * 100} % is carried, then halves the gap.
Exit code 1: it holds at no rate.`,
    )
    .action((name: string, options: Options) => run(terminal, name, options));
