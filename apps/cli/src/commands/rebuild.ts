import { derivationPart, deviceState, rollupPart, windowRules } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { planRebuild, type RangeReport, rebuild, rebuildRange } from '@weir/replay';
import { groupings } from '@weir/windows';
import { Command } from 'commander';
import { timeOf } from '../duration.ts';
import { number, Output, seconds, type Terminal } from '../output.ts';
import { Progress } from '../progress.ts';
import { coverageTable, findingText, levelTable, plainLevel } from '../replay/audit-text.ts';
import { interruption, showReplay, withSources } from '../replay/open.ts';
import { effectiveConfig, usage } from '../settings.ts';

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

function rangeOf({ from, to }: Options): { readonly from: number; readonly to: number } {
  const range = {
    from: from === undefined ? Number.NEGATIVE_INFINITY : timeOf('--from', from),
    to: to === undefined ? Number.POSITIVE_INFINITY : timeOf('--to', to),
  };
  if (range.from >= range.to) throw usage('--from must lie before --to.');
  return range;
}

function printRange(output: Output, report: RangeReport, ms: number): void {
  const { coverage, findings, counts, heldMs, levels } = report;
  const wrong = levels.reduce((sum, { tally }) => sum + tally.missing + tally.extra + tally.different, 0);
  output.result(
    { levels: levels.map(plainLevel), coverage, findings, counts, heldMs, seconds: ms / 1_000 },
    () =>
      [
        levelTable(levels),
        '',
        coverageTable(coverage),
        ...findings.map((one) => `\n${findingText(one)}`),
        '',
        `${number(wrong)} windows were wrong and are as the log says now (${seconds(ms)}). Nothing could be written for ${seconds(heldMs)}.`,
      ].join('\n'),
  );
}

async function run(terminal: Terminal, options: Options): Promise<void> {
  if (options.yes !== true && options.dryRun !== true)
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      'This would replace stored windows by ones that are made anew from the archive and Kafka. See what it reads with --dry-run, and say --yes to do it.',
    );
  const range = rangeOf(options);
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
        const plan = await planRebuild({ ...all, from: range.from });
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
      const roll = groupings(config.rollups.by, config.devices);
      const waiting = (why: string): void => progress.say(`The swap waits: ${why}.`);
      if (options.from !== undefined || options.to !== undefined) {
        const mended = await rebuildRange({ ...all, ...range, groupings: roll, waiting });
        show.end(true);
        printRange(output, mended, performance.now() - began);
        return;
      }
      const report = await rebuild({
        ...all,
        waiting,
        parts: [
          derivationPart({ metrics: config.derived }),
          deviceState(sources.windows.outOfOrdernessMs),
          rollupPart({ groupings: roll }),
        ],
        retention: {
          rules: windowRules(config.retention.windows),
          outOfOrdernessMs: sources.windows.outOfOrdernessMs,
          allowedLatenessMs: sources.windows.allowedLatenessMs,
          compressAfterMs: Number.POSITIVE_INFINITY,
        },
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
    .option('--from <time>', 'only windows that start here or later')
    .option('--to <time>', 'only windows that end here or earlier')
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
  $ weir rebuild --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z --yes

The live pipeline goes on meanwhile. The new windows are put in place in one transaction: whoever reads sees the old
ones or the new ones, never both, and whatever ends the command before leaves the old ones. With a range only those of its
windows that are wrong are written.`,
    )
    .action((options: Options) => run(terminal, options));
}
