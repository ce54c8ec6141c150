import { openDatabase, readJob, readRetention, windowRules } from '@weir/connect-timescale';
import { Command } from 'commander';
import { number, Output, type Terminal, table } from '../output.ts';
import { effectiveConfig, quietLogger } from '../settings.ts';

interface Options {
  readonly data?: string;
  readonly json?: boolean;
}

const HOUR_MS = 3_600_000;
const MIB = 2 ** 20;

function lifetime(ms: number): string {
  if (!Number.isFinite(ms)) return 'for ever';
  return ms % (24 * HOUR_MS) === 0 ? `${ms / (24 * HOUR_MS)} d` : `${ms / HOUR_MS} h`;
}

export function retentionCommand(terminal: Terminal): Command {
  const status = new Command('status')
    .description('how long windows are kept, what is stored, and what the next run drops')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action(async (options: Options) => {
      const { timescale, retention } = effectiveConfig(options.data);
      const database = openDatabase({ url: timescale.url, log: quietLogger(), poolSize: 1 });
      try {
        const rules = windowRules(retention.windows);
        const tables = await readRetention(database, rules);
        const job = await readJob(database, 'retention');
        new Output(terminal, options.json).result({ job, tables }, () =>
          [
            table(
              [
                { title: 'TABLE', value: (one) => one.table },
                { title: 'KEPT', value: (one) => lifetime(one.keepMs) },
                { title: 'OLDEST', value: (one) => one.oldest?.toISOString() },
                { title: 'EXPIRED BEFORE', value: (one) => one.expiredBefore?.toISOString() },
                { title: 'CHUNKS', value: (one) => number(one.chunks), align: 'right' },
                { title: 'MiB', value: (one) => number(one.bytes / MIB, 1), align: 'right' },
                { title: 'DUE', value: (one) => number(one.due), align: 'right' },
              ],
              tables,
            ),
            '',
            job === null
              ? 'No aggregator has run the maintenance job yet.'
              : `${job.holder} runs the job since ${job.heldSince.toISOString()}; last finished ${job.succeededAt?.toISOString() ?? 'never'}.`,
          ].join('\n'),
        );
      } finally {
        await database.close();
      }
    });
  return new Command('retention')
    .description('how long windows are kept')
    .addHelpText(
      'after',
      `
Examples:
  $ weir retention status
  $ WEIR_RETENTION__WINDOWS__1S=3h weir retention status     what would be due with another setting`,
    )
    .addCommand(status);
}
