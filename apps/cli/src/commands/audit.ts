import { audit } from '@weir/replay';
import { groupings } from '@weir/windows';
import { Command } from 'commander';
import { timeOf } from '../duration.ts';
import { Finished } from '../finished.ts';
import { number, Output, seconds, type Terminal } from '../output.ts';
import { Progress } from '../progress.ts';
import {
  coverageTable,
  differenceText,
  findingText,
  levelTable,
  plainLevel,
  ruleText,
  verdict,
} from '../replay/audit-text.ts';
import { interruption, showReplay, withSources } from '../replay/open.ts';
import { effectiveConfig, usage } from '../settings.ts';

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly device?: string;
  readonly site?: string;
  readonly scratch?: string;
  readonly data?: string;
  readonly json?: boolean;
}

async function run(terminal: Terminal, options: Options): Promise<void> {
  const { device, site, scratch } = options;
  const from = options.from === undefined ? Number.NEGATIVE_INFINITY : timeOf('--from', options.from);
  const to = options.to === undefined ? Number.POSITIVE_INFINITY : timeOf('--to', options.to);
  if (from >= to) throw usage('--from must lie before --to.');
  if (site !== undefined && device === undefined) throw usage('--site goes with --device.');
  const config = effectiveConfig(options.data);
  const output = new Output(terminal, options.json);
  const progress = new Progress(terminal);
  const show = showReplay(progress);
  const interrupted = interruption();
  const began = performance.now();
  try {
    const report = await withSources(config, (sources) =>
      audit({
        ...sources,
        scratchUrl: scratch ?? sources.url,
        ...{ from, to, told: show.told, signal: interrupted.signal },
        groupings: groupings(config.rollups.by, config.devices),
        device: device === undefined ? null : { id: device, site: site ?? null },
      }),
    );
    show.end(true);
    const ms = performance.now() - began;
    const { levels, coverage, findings, counts, clean } = report;
    output.result(
      {
        ...{ clean, findings, coverage, counts },
        levels: levels.map(plainLevel),
        rule: config.aggregator,
        seconds: ms / 1_000,
        provableFrom: Object.fromEntries(report.provableFrom),
      },
      () =>
        [
          levelTable(levels),
          '',
          ruleText({
            outOfOrdernessMs: config.aggregator.outOfOrderness,
            allowedLatenessMs: config.aggregator.allowedLateness,
            idleTimeoutMs: config.aggregator.idleTimeout,
            dedupHorizonMs: config.aggregator.dedupHorizon,
            dedupCount: config.aggregator.dedupCount,
          }),
          '',
          coverageTable(coverage),
          `${number(counts.stored)} readings counted, ${number(counts.duplicate)} duplicates, ${number(counts.late)} too late, ${number(counts.replayed)} replayed; ${seconds(ms)}.`,
          ...findings.map((one) => `\n${findingText(one)}`),
          ...levels.flatMap(({ examples }) => examples.map((one) => `\n${differenceText(one, output)}`)),
          '',
          output.style(clean ? 'green' : 'red', verdict(report)),
        ].join('\n'),
    );
    if (!clean) throw new Finished(1);
  } finally {
    show.end(false);
    progress.close();
    interrupted.end();
  }
}

export function auditCommand(terminal: Terminal): Command {
  return new Command('audit')
    .description('prove that the stored windows are what the log says, window by window')
    .option('--from <time>', 'only windows that start here or later')
    .option('--to <time>', 'only windows that end here or earlier')
    .option('--device <device>', 'only windows of this device')
    .option('--site <site>', 'with --device, when several sites have a device of this name')
    .option('--scratch <address>', 'recompute in this PostgreSQL server instead of the live one')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir audit
  $ weir audit --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z
  $ weir audit --device machine-1 --json

Reads the archive, and what it does not hold yet from Kafka, recomputes every window and compares each figure bit for
bit with the database at one moment. Nothing stands still meanwhile but retention. Exit code 1: something is missing,
extra or different, or records are lost.`,
    )
    .action((options: Options) => run(terminal, options));
}
