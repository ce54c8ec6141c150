import type { CommandList, Command as DeviceCommand } from '@weir/api';
import { Command, Option } from 'commander';
import { numberWithin } from '../duration.ts';
import { Finished } from '../finished.ts';
import { addGateway, askGateway, type GatewayOptions, tellGateway } from '../gateway.ts';
import { Output, type Terminal, table } from '../output.ts';
import { usage } from '../settings.ts';

interface Common extends GatewayOptions {
  readonly json?: boolean;
}
interface SendOptions extends Common {
  readonly site?: string;
  readonly deadline: string;
  readonly key?: string;
  readonly wait: string;
  readonly by?: string;
}

const STATES = ['queued', 'sent', 'delivered', 'acknowledged', 'failed', 'expired'] as const;
/** The gateway holds a request for this long; a longer wait asks again. */
const ONE_WAIT_S = 20;

function payloadOf(text: string | undefined): unknown {
  if (text === undefined) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw usage(`The payload is no JSON: ${text.slice(0, 80)}. A text needs its quotes: '"open"'.`);
  }
}

/** What became of it, in a sentence. */
function sentence(command: DeviceCommand): string {
  const what = `Command ${command.name} (${command.id}) for ${command.site}/${command.device}`;
  const answer = command.answer === null ? '' : `: ${JSON.stringify(command.answer)}`;
  switch (command.state) {
    case 'acknowledged':
      return `${what}: the device did it${answer}.`;
    case 'failed':
      return `${what}: the device could not do it${answer}.`;
    case 'expired':
      return `${what} expired: ${command.problem ?? 'no answer before the deadline'}. It will not be delivered later.`;
    case 'delivered':
      return `${what} was delivered by ${command.deliveredBy}; the device has not answered yet.`;
    default:
      return `${what} is ${command.state}${command.problem === null ? '' : `: ${command.problem}`}.`;
  }
}

function send(terminal: Terminal): Command {
  return new Command('send')
    .description('send a command to a device and wait for its answer')
    .argument('<device>', 'name of the device')
    .argument('<name>', 'what it should do; last level of the topic')
    .argument('[payload]', 'JSON for the device')
    .option('--site <site>', 'when several sites have a device of this name')
    .option('--deadline <time>', 'how long the device has, up to 15m', '30s')
    .option('--key <key>', 'Idempotency-Key: the same one never makes a second command')
    .option('--wait <seconds>', 'how long to wait for the end; 0 does not', '60')
    .option('--by <name>', 'who does it (default: user@host)')
    .action(async (device: string, name: string, payload: string | undefined, given, self: Command) => {
      const options = self.optsWithGlobals<SendOptions>();
      const wait = numberWithin('--wait', options.wait, 0, 3_600);
      const { body: command } = await tellGateway<DeviceCommand>(options, {
        method: 'POST',
        path: `/devices/${encodeURIComponent(device)}/commands`,
        parameters: { site: options.site },
        body: { name, payload: payloadOf(payload), deadline: given.deadline },
        ...(options.key === undefined ? {} : { headers: { 'idempotency-key': options.key } }),
        actor: options.by,
      });
      const ended = await waitFor(options, command, wait);
      new Output(terminal, options.json).result(ended, () => sentence(ended));
      if (ended.state === 'failed' || ended.state === 'expired') throw new Finished(1);
    });
}

async function waitFor(
  options: GatewayOptions,
  command: DeviceCommand,
  seconds: number,
): Promise<DeviceCommand> {
  const until = performance.now() + seconds * 1_000;
  let latest = command;
  while (latest.finishedAt === null && performance.now() < until) {
    const left = Math.min(ONE_WAIT_S, (until - performance.now()) / 1_000);
    latest = await askGateway<DeviceCommand>(
      options,
      `/commands/${command.id}`,
      { wait: left.toFixed(3) },
      (ONE_WAIT_S + 10) * 1_000,
    );
  }
  return latest;
}

function show(terminal: Terminal): Command {
  return new Command('show')
    .description('one command and what became of it')
    .argument('<id>', 'id of the command')
    .action(async (id: string, _, self: Command) => {
      const options = self.optsWithGlobals<Common>();
      const command = await askGateway<DeviceCommand>(options, `/commands/${encodeURIComponent(id)}`);
      new Output(terminal, options.json).result(command, () => sentence(command));
    });
}

function list(terminal: Terminal): Command {
  return new Command('ls')
    .description('commands, the newest first')
    .addOption(new Option('--state <state>', 'only this state').choices(STATES))
    .option('--site <site>', 'only this site')
    .option('--device <device>', 'only this device')
    .option('--limit <n>', 'at most this many', '50')
    .action(async (given, self: Command) => {
      const options = self.optsWithGlobals<Common>();
      const { state, site, device, limit } = given;
      const page = await askGateway<CommandList>(options, '/commands', { state, site, device, limit });
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'ID', value: (one) => one.id },
            { title: 'DEVICE', value: (one) => `${one.site}/${one.device}` },
            { title: 'NAME', value: (one) => one.name },
            { title: 'STATE', value: (one) => one.state },
            { title: 'BY', value: (one) => one.createdBy },
            { title: 'SENT', value: (one) => one.createdAt },
            { title: 'ENDED', value: (one) => one.finishedAt },
            { title: 'WHY', value: (one) => one.problem },
          ],
          page.commands,
          'No commands.',
        ),
      );
    });
}

export function commandCommand(terminal: Terminal): Command {
  const command = new Command('command')
    .description('commands to devices: send one, and see what became of it')
    .addHelpText(
      'after',
      `
Examples:
  $ weir command send pump-7 set-speed '{"rpm":1200}' --deadline 10s
  $ weir command send valve-3 close --key shift-change-0600
  $ weir command ls --state expired

A device gets a command at most once, on the topic of its commands, and only before the deadline. It answers with the
event command-ack: {"id": …, "ok": true, "result": …}. \`weir device listen --answer\` is such a device.

Exit code: 0 acknowledged, or still on its way after --wait; 1 failed or expired.`,
    );
  for (const make of [send, show, list]) {
    command.addCommand(addGateway(make(terminal)));
  }
  return command;
}
