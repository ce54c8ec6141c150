import { errorMessage } from '@weir/flow';
import { Command } from 'commander';
import { Finished } from '../finished.ts';
import { Output, type Terminal, table } from '../output.ts';
import { Progress } from '../progress.ts';
import { effectiveConfig } from '../settings.ts';
import { applyPart, topologyChecks, topologyParts } from '../topology.ts';

interface Options {
  readonly data?: string;
  readonly json?: boolean;
}

interface Row {
  readonly part: string;
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

function print(output: Output, rows: readonly Row[]): void {
  output.result(rows, () =>
    table(
      [
        { title: 'PART', value: (row) => row.part },
        { title: 'WHAT', value: (row) => row.what },
        { title: 'STATE', value: (row) => (row.ok ? 'ok' : 'FAILED') },
        { title: 'DETAIL', value: (row) => row.detail },
      ],
      rows,
    ),
  );
  if (rows.some(({ ok }) => !ok)) throw new Finished(1);
}

async function apply(terminal: Terminal, options: Options): Promise<void> {
  const progress = new Progress(terminal);
  const rows = await Promise.all(
    topologyParts(effectiveConfig(options.data)).map(async (part): Promise<Row> => {
      const { name, what } = part;
      try {
        return {
          part: name,
          what,
          ok: true,
          detail: await progress.step(`Applying ${what}`, () => applyPart(part)),
        };
      } catch (error) {
        return { part: name, what, ok: false, detail: errorMessage(error) };
      }
    }),
  );
  progress.close();
  print(new Output(terminal, options.json), rows);
}

async function check(terminal: Terminal, options: Options): Promise<void> {
  const rows = await Promise.all(
    topologyChecks(effectiveConfig(options.data)).map(async ({ name, what, differences }): Promise<Row> => {
      try {
        const found = await differences();
        const detail = found.length === 0 ? 'as described' : found.join('; ');
        return { part: name, what, ok: found.length === 0, detail };
      } catch (error) {
        return { part: name, what, ok: false, detail: errorMessage(error) };
      }
    }),
  );
  print(new Output(terminal, options.json), rows);
}

export function topologyCommand(terminal: Terminal): Command {
  const command = new Command('topology')
    .description('topics, queues, tables and bucket that the apps need')
    .addHelpText(
      'after',
      `
Examples:
  $ weir topology check
  $ weir topology apply --json

\`weir up\` applies it by itself; with servers of your own, apply it before the apps start. Nothing is ever deleted.`,
    );
  command
    .command('apply')
    .description('create what is missing; changes nothing that is there')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action((options: Options) => apply(terminal, options));
  command
    .command('check')
    .description('say what is missing or different; exit code 1 when something is')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action((options: Options) => check(terminal, options));
  return command;
}
