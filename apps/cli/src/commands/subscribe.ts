import { once } from 'node:events';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { Subscription, SubscriptionList } from '@weir/api';
import { errorMessage, WeirError } from '@weir/flow';
import { Command } from 'commander';
import { wholeWithin } from '../duration.ts';
import { addGateway, askGateway, type GatewayOptions, gatewayBase, tellGateway } from '../gateway.ts';
import { number, Output, type Terminal, table } from '../output.ts';

interface SubscribeOptions extends GatewayOptions {
  readonly count?: string;
  readonly keep?: boolean;
  readonly ordered?: boolean;
}
interface Common extends GatewayOptions {
  readonly json?: boolean;
}

/** Lines of a subscription, until the caller ends it or the gateway goes away. */
async function* linesOf(options: GatewayOptions, id: string, signal: AbortSignal): AsyncGenerator<string> {
  const url = `${gatewayBase(options)}/api/v1/subscriptions/${id}/messages`;
  const response = await fetch(url, { signal });
  if (!response.ok || response.body === null)
    throw new WeirError('WEIR_REJECTED', 'data', `Reading subscription ${id}: status ${response.status}`);
  let rest = '';
  const chunks = Readable.fromWeb(response.body as ReadableStream<Uint8Array>).setEncoding('utf8');
  for await (const chunk of chunks as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

async function subscribe(terminal: Terminal, pattern: string, options: SubscribeOptions): Promise<void> {
  const most =
    options.count === undefined
      ? Number.POSITIVE_INFINITY
      : wholeWithin('--count', options.count, 1, Number.MAX_SAFE_INTEGER);
  const { body: made } = await tellGateway<Subscription>(options, {
    method: 'POST',
    path: '/subscriptions',
    body: { pattern, ordered: options.ordered === true },
  });
  terminal.err.write(`subscription ${made.id}, queue ${made.queue}; Ctrl-C ends it\n`);
  const stopping = new AbortController();
  const end = (): void => stopping.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  try {
    let shown = 0;
    for await (const line of linesOf(options, made.id, stopping.signal)) {
      if (!terminal.out.write(`${line}\n`)) await once(terminal.out, 'drain', { signal: stopping.signal });
      if (++shown >= most) break;
    }
  } catch (error) {
    if (!stopping.signal.aborted)
      throw new WeirError(
        'WEIR_CONNECTION_LOST',
        'transient',
        `Reading subscription ${made.id}: ${errorMessage(error)}`,
      );
  } finally {
    stopping.abort();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end);
    if (options.keep !== true)
      await tellGateway(options, { method: 'DELETE', path: `/subscriptions/${made.id}` });
  }
}

export function subscribeCommand(terminal: Terminal): Command {
  return new Command('subscribe')
    .description('print readings or events as they arrive, one line of JSON each')
    .argument('<pattern>', 'telemetry.[class.]site.metric[.device] or events.site.kind; * one level, # any')
    .option('--count <n>', 'end after so many lines')
    .option('--keep', 'leave the subscription there at the end; it expires an hour after its last reader')
    .option('--ordered', 'one reader at a time')
    .option('--url <url>', 'address of the gateway')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON; lines are JSON in any case')
    .addHelpText(
      'after',
      `
Examples:
  $ weir subscribe 'telemetry.plant-1.*'
  $ weir subscribe 'telemetry.critical.#' --count 10
  $ weir subscribe 'events.*.disconnected'
  $ weir subscriptions ls`,
    )
    .action((pattern: string, options: SubscribeOptions) => subscribe(terminal, pattern, options));
}

async function list(terminal: Terminal, options: Common): Promise<void> {
  const { subscriptions } = await askGateway<SubscriptionList>(options, '/subscriptions');
  new Output(terminal, options.json).result(subscriptions, () =>
    table(
      [
        { title: 'ID', value: (row) => row.id },
        { title: 'PATTERN', value: (row) => row.pattern },
        { title: 'WAITING', value: (row) => (row.waiting === null ? '–' : number(row.waiting)) },
        { title: 'READERS', value: (row) => (row.readers === null ? '–' : number(row.readers)) },
        { title: 'CREATED', value: (row) => row.createdAt },
        { title: 'BY', value: (row) => row.createdBy },
      ],
      subscriptions,
      'No subscriptions.',
    ),
  );
}

export function subscriptionsCommand(terminal: Terminal): Command {
  const command = new Command('subscriptions')
    .description('subscriptions of tools that are there')
    .addHelpText(
      'after',
      `
Examples:
  $ weir subscriptions ls
  $ weir subscriptions rm 7f3c2a10`,
    );
  addGateway(command.command('ls'))
    .description('what they are for, what waits in them, who reads them')
    .action((options: Common) => list(terminal, options));
  addGateway(command.command('rm'))
    .description('remove one and what waits in it')
    .argument('<id>')
    .action(async (id: string, options: Common) => {
      await tellGateway(options, { method: 'DELETE', path: `/subscriptions/${encodeURIComponent(id)}` });
      new Output(terminal, options.json).result({ removed: id }, () => `Removed ${id}.`);
    });
  return command;
}
