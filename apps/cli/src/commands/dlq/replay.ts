import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Replay, ReplayRequest } from '@weir/api';
import { WeirError } from '@weir/flow';
import type { Command } from 'commander';
import { wholeWithin } from '../../duration.ts';
import { Finished } from '../../finished.ts';
import { addGateway, askGateway, type GatewayOptions, tellGateway } from '../../gateway.ts';
import { number, Output, type Terminal, table } from '../../output.ts';
import { Progress } from '../../progress.ts';
import { usage } from '../../settings.ts';
import { addSelection, type SelectionOptions, selectionBody } from './selection.ts';

interface Options extends GatewayOptions, SelectionOptions {
  readonly all?: boolean;
  readonly why?: string;
  readonly by?: string;
  readonly rate?: string;
  readonly maxReplays?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly wait: boolean;
  readonly key?: string;
  readonly json?: boolean;
}

const POLL_MS = 500;
const ENDED: readonly Replay['state'][] = ['done', 'cancelled', 'failed'];

/** Seconds as people say them: 90 → "1 min 30 s". */
function time(seconds: number): string {
  const all = Math.ceil(seconds);
  const parts = [
    [Math.floor(all / 3_600), 'h'],
    [Math.floor(all / 60) % 60, 'min'],
    [all % 60, 's'],
  ].filter(([value]) => value !== 0);
  return parts.length === 0 ? 'no time' : parts.map(([value, unit]) => `${value} ${unit}`).join(' ');
}

/** What a replay will do, or has done. */
export function describeReplay(replay: Replay): string {
  const { id, state, stateAt, stateBy, stateWhy, by, why, plan, rate } = replay;
  const lines = [`Replay ${id} by ${by}: ${why}`];
  if (plan === null) return [...lines, 'Its letters are being looked at.'].join('\n');
  lines.push(
    `${number(plan.letters)} dead letters fit. ${number(plan.send)} of them are sent, with ${number(plan.readings)} ` +
      `readings of ${number(plan.devices)} devices: ${time(plan.seconds)} at ${number(rate)} a second.`,
  );
  if (plan.skip > 0) lines.push(`${number(plan.skip)} were sent before, and have not come back: left out.`);
  if (plan.replayedBefore > 0) lines.push(`${number(plan.replayedBefore)} were sent before, and came back.`);
  if (plan.park > 0) lines.push(`${number(plan.park)} came back too often: parked when their turn comes.`);
  for (const { destination, letters } of plan.destinations)
    lines.push(`  ${number(letters)} to ${destination}`);
  if (plan.refuse > 0) lines.push(`${number(plan.refuse)} cannot be sent as they are:`);
  for (const error of plan.errors) lines.push(`  ${number(error.letters)}: ${error.why}`);
  if (plan.samples.length > 0)
    lines.push(
      '',
      table(
        [
          { title: 'LETTER', value: (one) => one.letter },
          { title: 'REASON', value: (one) => one.reason },
          { title: 'DEVICE', value: (one) => (one.device === '' ? null : `${one.site}/${one.device}`) },
          { title: 'TO', value: (one) => one.destination },
          { title: 'READINGS', value: (one) => one.readings, align: 'right' },
          { title: 'REPLAYS', value: (one) => one.replayCount, align: 'right' },
        ],
        plan.samples,
      ),
    );
  if (state !== 'planned') {
    const { sent, skipped, parked, failed, resent } = replay;
    lines.push(
      '',
      `It is ${state} since ${stateAt} (${stateBy}: ${stateWhy}). ${number(sent)} sent, ${number(skipped)} left out, ` +
        `${number(parked)} parked, ${number(failed)} refused.`,
    );
    if (resent > 0)
      lines.push(
        `${number(resent)} of them may have been sent twice, with the same identity: they count once.`,
      );
  }
  return lines.join('\n');
}

/** Asks until the replay rests in one of these states. */
async function until(
  options: GatewayOptions,
  id: string,
  rests: (replay: Replay) => boolean,
  tell: (replay: Replay) => void,
): Promise<Replay> {
  for (;;) {
    const replay = await askGateway<Replay>(options, `/replays/${id}`);
    if (rests(replay) || ENDED.includes(replay.state)) return replay;
    tell(replay);
    await delay(POLL_MS);
  }
}

async function replayLetters(terminal: Terminal, options: Options): Promise<void> {
  const output = new Output(terminal, options.json);
  const selection = selectionBody(options, options.all);
  const why = options.why?.trim() ?? '';
  const really = options.dryRun !== true && options.yes === true;
  if (options.dryRun !== true && why === '')
    throw usage('Say --why these letters are sent again: it is recorded with the replay.');
  const { rate, maxReplays } = options;
  const request: ReplayRequest = {
    selection: selection as ReplayRequest['selection'],
    why: why === '' ? 'a dry run' : why,
    ...(rate === undefined ? {} : { rate: wholeWithin('--rate', rate, 1, 1_000_000) }),
    ...(maxReplays === undefined ? {} : { maxReplays: wholeWithin('--max-replays', maxReplays, 1, 1_000) }),
    dryRun: !really,
  };
  const { body: made } = await tellGateway<Replay>(options, {
    method: 'POST',
    path: '/replays',
    body: request,
    headers: { 'idempotency-key': options.key ?? randomUUID() },
    actor: options.by,
  });
  if (really && !options.wait) {
    output.result(
      made,
      () => `Replay ${made.id} has begun; \`weir dlq task ${made.id}\` shows how far it is.`,
    );
    return;
  }
  const progress = new Progress(terminal);
  try {
    const planned = await progress.step('Looking at the letters', () =>
      until(
        options,
        made.id,
        ({ state }) => state !== 'planning',
        () => undefined,
      ),
    );
    if (!really) {
      output.result(planned, () => describeReplay(planned));
      if (options.dryRun === true) {
        output.note(`\`weir dlq resume ${made.id} --why …\` sends exactly these letters.`);
        return;
      }
      await tellGateway(options, {
        method: 'POST',
        path: `/replays/${made.id}/cancel`,
        body: { why: 'nobody said --yes' },
        actor: options.by,
      });
      if ((planned.plan?.send ?? 0) > 0)
        throw new WeirError('WEIR_STATE', 'fatal', 'Nothing was sent. Say --yes to do it.');
      return;
    }
    const ended = await progress.step('Sending', (detail) =>
      until(
        options,
        made.id,
        ({ state, pauseCause }) => state === 'paused' && pauseCause !== 'lag',
        ({ sent, plan, state, stateWhy }) =>
          detail(
            `${number(sent)} of ${number(plan?.send ?? 0)}${state === 'paused' ? `, paused: ${stateWhy}` : ''}`,
          ),
      ),
    );
    output.result(ended, () => describeReplay(ended));
    if (ended.state !== 'done') throw new Finished(1);
  } finally {
    progress.close();
  }
}

export function addReplay(command: Command, terminal: Terminal): void {
  addGateway(addSelection(command.command('replay')))
    .description('send dead letters again')
    .option('--all', 'every open letter')
    .option('--why <text>', 'the reason, recorded with the replay; required')
    .option('--by <name>', 'who does it (default: user@host)')
    .option('--rate <n>', 'letters a second, at most (default: deadLetters.replayRate)')
    .option('--max-replays <n>', 'a letter sent so often is parked instead (default: deadLetters.maxReplays)')
    .option('--dry-run', 'only say what would be sent')
    .option('--yes', 'do it; without it the command only says what it would do')
    .option('--no-wait', 'do not wait for the end; the replay goes on without this command in any case')
    .option('--key <key>', 'Idempotency-Key: the same one never makes a second replay')
    .action((options: Options) => replayLetters(terminal, options));
}
