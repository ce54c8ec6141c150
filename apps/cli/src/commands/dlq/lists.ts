import type { DeadLetterAudit, DeadLetterDetail, DeadLetterFacets, DeadLetterList } from '@weir/api';
import type { Command } from 'commander';
import { numberWithin } from '../../duration.ts';
import { addGateway, askGateway, askGatewayBytes, type GatewayOptions } from '../../gateway.ts';
import { bytes, number, Output, type Terminal, table } from '../../output.ts';
import { addSelection, type SelectionOptions, selectionQuery } from './selection.ts';

interface Common extends GatewayOptions {
  readonly json?: boolean;
}

const ROW = 16;
const HEX_LIMIT = 1_024;

/** Offset, 16 bytes in hex, and the same as text, as `hexdump -C` has them. */
export function hexdump(all: Buffer, limit = HEX_LIMIT): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(all.length, limit); at += ROW) {
    const row = all.subarray(at, Math.min(at + ROW, limit));
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0'));
    const left = hex.slice(0, 8).join(' ').padEnd(23);
    const right = hex.slice(8).join(' ').padEnd(23);
    const text = [...row].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'));
    lines.push(`${at.toString(16).padStart(8, '0')}  ${left}  ${right}  |${text.join('')}|`);
  }
  if (all.length > limit) lines.push(`… ${number(all.length - limit)} bytes more`);
  return lines.join('\n');
}

/** Control characters of a stranger's bytes do not reach the terminal. */
const printable = (text: string): string => text.replace(/[^\P{Cc}\n\t]/gu, '\uFFFD');

function describe(letter: DeadLetterDetail): string {
  const facts: [string, string | null][] = [
    ['letter', letter.id],
    [
      'status',
      `${letter.status}${letter.statusBy === null ? '' : ` by ${letter.statusBy} at ${letter.statusAt}: ${letter.statusWhy}`}`,
    ],
    ['error', `${letter.reason} in ${letter.stage}: ${letter.errorMessage} (${letter.errorClass})`],
    ['fingerprint', letter.fingerprint],
    ['device', letter.device === null ? null : `${letter.site ?? '?'}/${letter.device}`],
    ['origin', `${letter.originSystem} ${letter.origin}`],
    ['found in', letter.foundIn],
    [
      'failed',
      letter.firstFailedAt === letter.lastFailedAt
        ? letter.lastFailedAt
        : `${letter.firstFailedAt} … ${letter.lastFailedAt}`,
    ],
    ['replays', String(letter.replayCount)],
    ['readings', letter.readings === null ? null : `only ${letter.readings.join(', ')} of the line`],
    ['bytes', `${number(letter.bytes)}, ${letter.content}, sha256 ${letter.sha256}`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const parts = facts.flatMap(([name, value]) =>
    value === null ? [] : `${name.padEnd(width)}  ${printable(value)}`,
  );
  parts.push('', 'Headers');
  for (const [name, value] of Object.entries(letter.headers))
    parts.push(
      `  ${printable(name)}: ${printable(typeof value === 'string' ? value : JSON.stringify(value))}`,
    );
  const show = (title: string, shown: NonNullable<DeadLetterDetail['original']>): void => {
    const raw = Buffer.from(shown.base64, 'base64');
    parts.push('', title, printable(shown.text ?? '(not UTF-8)').trimEnd(), '', hexdump(raw));
    if (shown.truncated) parts.push('… more: ask for the bytes with --bytes');
  };
  if (letter.original === null) parts.push('', `The bytes were removed at ${letter.bytesRemovedAt}.`);
  else show('Original', letter.original);
  for (const { number: n, at, by, why, bytes: edited } of letter.edits) {
    show(`Edit ${n} by ${by} at ${at}: ${why}`, edited);
  }
  if (letter.history.length > 0) {
    parts.push('', 'History');
    for (const { at, actor, action, why } of letter.history)
      parts.push(`  ${at}  ${action}  ${actor}: ${printable(why)}`);
  }
  return parts.join('\n');
}

function describeStats(facets: DeadLetterFacets): string {
  if (facets.total === 0) return 'No dead letter fits.';
  const list = (title: string, values: readonly { value: string; count: number }[]): string =>
    table(
      [
        { title, value: ({ value }) => value },
        { title: 'LETTERS', value: ({ count }) => number(count), align: 'right' },
      ],
      values.slice(0, 15),
    );
  return [
    `${number(facets.total)} dead letters, ${bytes(facets.bytes)}, failed from ${facets.oldestAt} to ${facets.newestAt}.`,
    '',
    table(
      [
        { title: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint },
        { title: 'LETTERS', value: ({ count }) => number(count), align: 'right' },
        { title: 'DEVICES', value: ({ devices }) => number(devices), align: 'right' },
        { title: 'REASON', value: ({ reason }) => reason },
        { title: 'STAGE', value: ({ stage }) => stage },
        { title: 'LAST', value: ({ lastAt }) => lastAt },
        { title: 'EXAMPLE', value: ({ example }) => printable(example).slice(0, 100) },
      ],
      facets.groups.slice(0, 15),
    ),
    ...(
      [
        ['STATUS', facets.status],
        ['REASON', facets.reason],
        ['STAGE', facets.stage],
        ['SOURCE', facets.originSystem],
        ['SITE', facets.site],
        ['DEVICE', facets.device],
        ['TIMES REPLAYED', facets.replayCount],
        ['AGE UNDER', facets.age],
      ] as const
    ).flatMap(([title, values]) => (values.length === 0 ? [] : ['', list(title, values)])),
  ].join('\n');
}

async function list(
  terminal: Terminal,
  options: Common & SelectionOptions & { readonly limit: string },
): Promise<void> {
  const limit = numberWithin('--limit', options.limit, 1, 1_000_000);
  const letters: DeadLetterList['letters'] = [];
  let cursor: string | undefined;
  do {
    const page: DeadLetterList = await askGateway(options, '/dead-letters', {
      ...selectionQuery(options),
      limit: String(Math.min(500, limit - letters.length)),
      cursor,
    });
    letters.push(...page.letters);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && letters.length < limit);
  const output = new Output(terminal, options.json);
  output.result({ letters, more: cursor !== undefined }, () =>
    table(
      [
        { title: 'LETTER', value: ({ id }) => id },
        { title: 'FAILED', value: ({ lastFailedAt }) => lastFailedAt },
        { title: 'STATUS', value: ({ status }) => status },
        { title: 'REASON', value: ({ reason }) => reason },
        { title: 'STAGE', value: ({ stage }) => stage },
        {
          title: 'DEVICE',
          value: ({ site, device }) => (device === null ? site : `${site ?? '?'}/${device}`),
        },
        { title: 'REPLAYS', value: ({ replayCount }) => replayCount, align: 'right' },
        { title: 'BYTES', value: (letter) => number(letter.bytes), align: 'right' },
        { title: 'ERROR', value: ({ errorMessage }) => printable(errorMessage).slice(0, 80) },
      ],
      letters,
      'No dead letter fits.',
    ),
  );
  if (cursor !== undefined && options.json !== true)
    output.note(`There are more; the ${letters.length} indexed last are shown (--limit).`);
}

async function show(
  terminal: Terminal,
  id: string,
  options: Common & { readonly bytes?: boolean; readonly edited?: boolean },
): Promise<void> {
  const path = `/dead-letters/${encodeURIComponent(id)}`;
  if (options.bytes === true) {
    const edited = options.edited === true ? { edited: 'true' } : {};
    terminal.out.write(await askGatewayBytes(options, `${path}/bytes`, edited));
    return;
  }
  const letter = await askGateway<DeadLetterDetail>(options, path);
  new Output(terminal, options.json).result(letter, () => describe(letter));
}

async function audit(terminal: Terminal, options: Common & { readonly limit: string }): Promise<void> {
  const limit = numberWithin('--limit', options.limit, 1, 1_000_000);
  const entries: DeadLetterAudit['entries'] = [];
  let cursor: string | undefined;
  do {
    const page: DeadLetterAudit = await askGateway(options, '/dead-letters/audit', {
      limit: String(Math.min(500, limit - entries.length)),
      cursor,
    });
    entries.push(...page.entries);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && entries.length < limit);
  new Output(terminal, options.json).result(entries, () =>
    table(
      [
        { title: 'WHEN', value: ({ at }) => at },
        { title: 'WHO', value: ({ actor }) => printable(actor) },
        { title: 'WHAT', value: ({ action }) => action },
        { title: 'LETTERS', value: ({ letters, more }) => number(letters.length + more), align: 'right' },
        { title: 'ABOUT', value: ({ subject }) => printable(subject) },
        { title: 'WHY', value: ({ why }) => printable(why) },
      ],
      entries,
      'Nothing was changed yet.',
    ),
  );
}

export function addLists(command: Command, terminal: Terminal): void {
  addGateway(addSelection(command.command('ls').description('list dead letters, the one indexed last first')))
    .option('--limit <n>', 'at most so many', '50')
    .action((options: Common & SelectionOptions & { limit: string }) => list(terminal, options));
  addGateway(command.command('show <id>').description('one dead letter: its error beside its bytes'))
    .option('--bytes', 'write only the original bytes, as they are')
    .option('--edited', 'with --bytes: what the last edit made of them')
    .action((id: string, options: Common) => show(terminal, id, options));
  addGateway(
    addSelection(
      command.command('stats').description('how many there are, by reason, stage, device and more'),
    ),
  ).action(async (options: Common & SelectionOptions) => {
    const facets = await askGateway<DeadLetterFacets>(
      options,
      '/dead-letters/facets',
      selectionQuery(options),
    );
    new Output(terminal, options.json).result(facets, () => describeStats(facets));
  });
  addGateway(
    command.command('audit').description('who replayed, edited, parked or purged what, when and why'),
  )
    .option('--limit <n>', 'at most so many', '1000')
    .action((options: Common & { limit: string }) => audit(terminal, options));
}
