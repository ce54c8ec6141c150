import { derivationPart, deviceState, rollupPart, windowRules } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { planRebuild, rebuild } from '@weir/replay';
import { groupings } from '@weir/windows';
import { Command } from 'commander';
import { number, Output, seconds, type Terminal } from '../output.ts';
import { Progress } from '../progress.ts';
import { coverageTable, findingText } from '../replay/audit-text.ts';
import { interruption, showReplay, withSources } from '../replay/open.ts';
import { effectiveConfig } from '../settings.ts';

interface Options {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

async function run(terminal: Terminal, options: Options): Promise<void> {
  if (options.yes !== true && options.dryRun !== true)
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      'This would replace all stored windows by ones that are made anew from the archive and Kafka. See what it reads with --dry-run, and say --yes to do it.',
    );
  const config = effectiveConfig(options.data);
  const output = new Output(terminal, options.json);
  const progress = new Progress(terminal);
  const show = showReplay(progress);
  const interrupted = interruption();
  const began = performance.now();
  try {
    await withSources(config, async (sources) => {
      const all = { ...sources, told: show.told, signal: interrupted.signal };
      if (options.dryRun === true) {
        const plan = await planRebuild(all);
        show.end(true);
        output.result(plan, () =>
          [
            coverageTable(plan.coverage),
            '',
            `${number(plan.objects)} archive objects, about ${number(plan.lines)} lines; about ${seconds(plan.milliseconds)} of work.`,
            ...plan.findings.map((one) => `\n${findingText(one)}`),
          ].join('\n'),
        );
        return;
      }
      const report = await rebuild({
        ...all,
        parts: [
          derivationPart({ metrics: config.derived }),
          deviceState(sources.windows.outOfOrdernessMs),
          rollupPart({ groupings: groupings(config.rollups.by, config.devices) }),
        ],
        retention: {
          rules: windowRules(config.retention.windows),
          outOfOrdernessMs: sources.windows.outOfOrdernessMs,
          allowedLatenessMs: sources.windows.allowedLatenessMs,
          compressAfterMs: Number.POSITIVE_INFINITY,
        },
        waiting: (why) => progress.say(`The swap waits: ${why}.`),
      });
      show.end(true);
      const { coverage, findings, counts, heldMs } = report;
      const ms = performance.now() - began;
      output.result({ coverage, findings, counts, heldMs, seconds: ms / 1_000 }, () =>
        [
          coverageTable(coverage),
          ...findings.map((one) => `\n${findingText(one)}`),
          '',
          `All windows were made anew from ${number(counts.stored)} readings in ${seconds(ms)}. Nothing could be written for ${seconds(heldMs)}.`,
        ].join('\n'),
      );
    });
  } finally {
    show.end(false);
    progress.close();
    interrupted.end();
  }
}

export function rebuildCommand(terminal: Terminal): Command {
  return new Command('rebuild')
    .description('make all windows anew from the archive, and put them in the place of the stored ones')
    .option('--dry-run', 'only say what it would read')
    .option('--yes', 'do it')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir rebuild --dry-run
  $ weir rebuild --yes

The live pipeline goes on meanwhile. The new windows are put in place in one transaction: whoever reads sees the old
ones or the new ones, never both, and whatever ends the command before leaves the old ones.`,
    )
    .action((options: Options) => run(terminal, options));
}
