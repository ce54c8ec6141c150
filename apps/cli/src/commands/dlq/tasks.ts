import type { Replay, ReplayLetterList, ReplayList } from '@weir/api';
import type { Command } from 'commander';
import { addGateway, askGateway, type GatewayOptions, tellGateway } from '../../gateway.ts';
import { number, Output, type Terminal, table } from '../../output.ts';
import { usage } from '../../settings.ts';
import { describeReplay } from './replay.ts';

interface Common extends GatewayOptions {
  readonly json?: boolean;
}
interface ListOptions extends Common {
  readonly state?: string;
  readonly limit: string;
}
interface ShowOptions extends Common {
  readonly letters?: string;
}
interface ChangeOptions extends Common {
  readonly why?: string;
  readonly by?: string;
}

const COMMANDS = {
  pause: 'pause a replay; what is on its way arrives',
  resume: 'resume a paused replay, or send what a dry run found',
  cancel: 'end a replay for good; what was sent stays sent',
} as const;

async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  const { state, limit } = options;
  const page = await askGateway<ReplayList>(options, '/replays', { state, limit });
  new Output(terminal, options.json).result(page, () =>
    table(
      [
        { title: 'REPLAY', value: ({ id }) => id },
        { title: 'STATE', value: (one) => one.state },
        {
          title: 'SENT',
          value: ({ sent, plan }) => `${number(sent)}/${number(plan?.send ?? 0)}`,
          align: 'right',
        },
        { title: 'PARKED', value: ({ parked }) => number(parked), align: 'right' },
        { title: 'REFUSED', value: ({ failed }) => number(failed), align: 'right' },
        { title: 'RATE', value: ({ rate }) => number(rate), align: 'right' },
        { title: 'CREATED', value: ({ createdAt }) => createdAt },
        { title: 'BY', value: ({ by }) => by },
        { title: 'WHY', value: ({ why }) => why },
      ],
      page.replays,
      'No replays.',
    ),
  );
}

async function show(terminal: Terminal, id: string, options: ShowOptions): Promise<void> {
  const path = `/replays/${encodeURIComponent(id)}`;
  const replay = await askGateway<Replay>(options, path);
  const { letters } =
    options.letters === undefined
      ? { letters: undefined }
      : await askGateway<ReplayLetterList>(options, `${path}/letters`, {
          state: options.letters,
          limit: '1000',
        });
  const shown = letters === undefined ? replay : { ...replay, letters };
  new Output(terminal, options.json).result(shown, () => {
    if (letters === undefined) return describeReplay(replay);
    const rows = table(
      [
        { title: 'LETTER', value: ({ letter }) => letter },
        { title: 'TO', value: ({ destination }) => destination },
        { title: 'SENT', value: ({ sentAt }) => sentAt },
        { title: 'WHY', value: ({ why }) => why },
      ],
      letters,
      `No letter is ${options.letters}.`,
    );
    return `${describeReplay(replay)}\n\n${rows}`;
  });
}

async function change(
  terminal: Terminal,
  command: keyof typeof COMMANDS,
  id: string,
  options: ChangeOptions,
): Promise<void> {
  if ((options.why ?? '').trim() === '') throw usage('Say --why: it is recorded in the audit trail.');
  const { body: replay } = await tellGateway<Replay>(options, {
    method: 'POST',
    path: `/replays/${encodeURIComponent(id)}/${command}`,
    body: { why: options.why },
    actor: options.by,
  });
  new Output(terminal, options.json).result(replay, () => `Replay ${replay.id} is ${replay.state}.`);
}

export function addTasks(command: Command, terminal: Terminal): void {
  addGateway(command.command('tasks'))
    .description('replays, the newest first')
    .option('--state <state>', 'only planning, planned, running, paused, done, cancelled or failed ones')
    .option('--limit <n>', 'at most this many', '50')
    .action((options: ListOptions) => list(terminal, options));
  addGateway(command.command('task'))
    .description('one replay: its plan, and how far it is')
    .argument('<id>', 'id of the replay')
    .option(
      '--letters <state>',
      'with its letters that are waiting, sending, sent, skipped, parked or failed',
    )
    .action((id: string, options: ShowOptions) => show(terminal, id, options));
  for (const [name, about] of Object.entries(COMMANDS) as [keyof typeof COMMANDS, string][]) {
    addGateway(command.command(name))
      .description(about)
      .argument('<id>', 'id of the replay')
      .option('--why <text>', 'the reason, recorded in the audit trail; required')
      .option('--by <name>', 'who does it (default: user@host)')
      .action((id: string, options: ChangeOptions) => change(terminal, name, id, options));
  }
}
