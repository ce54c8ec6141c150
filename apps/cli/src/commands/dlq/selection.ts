import type { Command } from 'commander';
import { timeOf } from '../../duration.ts';
import { usage } from '../../settings.ts';

/** Options that choose letters; the same for every command on them. */
export interface SelectionOptions {
  readonly id?: readonly string[];
  readonly reason?: string;
  readonly stage?: string;
  readonly site?: string;
  readonly device?: string;
  readonly fingerprint?: string;
  readonly originSystem?: string;
  readonly origin?: string;
  readonly from?: string;
  readonly to?: string;
  readonly status?: string;
  readonly replayedAtLeast?: string;
  readonly replayedAtMost?: string;
}

export function addSelection(command: Command): Command {
  return command
    .option('--id <id...>', 'exactly these letters')
    .option('--reason <reasons>', 'why they were buried, for example schema,range')
    .option('--stage <stages>', 'the step that failed')
    .option('--site <site>', 'only of this site')
    .option('--device <device>', 'only of this device')
    .option('--fingerprint <fingerprint>', 'only of this kind of failure; `weir dlq stats` lists them')
    .option('--origin-system <systems>', 'where the bytes came from: mqtt,http,kafka,rabbitmq')
    .option('--origin <origin>', 'the topic, path or queue that the bytes came from')
    .option('--from <time>', 'failed last at this time or later, RFC 3339 or epoch milliseconds')
    .option('--to <time>', 'failed last before this time')
    .option('--status <statuses>', 'open,parked,replayed,purged')
    .option('--replayed-at-least <n>', 'sent again at least so often')
    .option('--replayed-at-most <n>', 'sent again at most so often');
}

const instant = (option: string, text: string | undefined): string | undefined =>
  text === undefined ? undefined : new Date(timeOf(option, text)).toISOString();

/** The selection as the API takes it in a query. */
export function selectionQuery(options: SelectionOptions): Record<string, string> {
  const { id, reason, stage, site, device, fingerprint, originSystem, origin, status } = options;
  const given: Record<string, string | undefined> = {
    ids: id?.join(','),
    reason,
    stage,
    site,
    device,
    fingerprint,
    originSystem,
    origin,
    status,
    from: instant('--from', options.from),
    to: instant('--to', options.to),
    replayedAtLeast: options.replayedAtLeast,
    replayedAtMost: options.replayedAtMost,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}

/** The same in a body. Throws a usage error for one that would fit every letter, unless `all` is said. */
export function selectionBody(options: SelectionOptions, all: boolean | undefined): Record<string, unknown> {
  const { ids, ...rest } = selectionQuery(options);
  const body = ids === undefined ? rest : { ...rest, ids: ids.split(',') };
  if (Object.keys(body).length === 0 && all !== true)
    throw usage('Say which letters, for example --reason schema or --id; --all for every one.');
  return body;
}
