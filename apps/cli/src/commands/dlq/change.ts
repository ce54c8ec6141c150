import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { DeadLetterChanged } from '@weir/api';
import { errorMessage, WeirError } from '@weir/flow';
import type { Command } from 'commander';
import { addGateway, type GatewayOptions, tellGateway } from '../../gateway.ts';
import { number, Output, type Terminal } from '../../output.ts';
import { usage } from '../../settings.ts';
import { addSelection, type SelectionOptions, selectionBody } from './selection.ts';

type Action = DeadLetterChanged['action'];

interface Options extends GatewayOptions, SelectionOptions {
  readonly all?: boolean;
  readonly why?: string;
  readonly by?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly key?: string;
  readonly patch?: string;
  readonly json?: boolean;
}

/** A change of 100,000 letters takes some seconds. */
const CHANGE_MS = 90_000;

const ACTIONS: Readonly<Record<Action, { readonly about: string; readonly done: string }>> = {
  park: { about: 'put dead letters aside: replays leave them out', done: 'parked' },
  unpark: { about: 'take parked dead letters up again', done: 'open again' },
  purge: {
    about: 'remove the bytes of dead letters for good; their rows stay, with who and why',
    done: 'purged: their bytes are removed from the object store within a minute. What Kafka holds of them it keeps until retention.deadLetters is over',
  },
  edit: { about: 'change what a replay sends; the original stays as it is', done: 'edited' },
};

/** The patch itself, or @file. */
function patchOf(text: string | undefined): unknown {
  if (text === undefined) throw usage('Say what to change: --patch with a JSON patch (RFC 6902), or @file.');
  try {
    return JSON.parse(text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text) as unknown;
  } catch (error) {
    throw usage(`--patch: ${errorMessage(error)}`);
  }
}

function describe({ action, letters, unchanged, refused }: DeadLetterChanged, dryRun: boolean): string {
  const lines = [
    dryRun
      ? `This would ${action} ${number(letters)} dead letters.`
      : `${number(letters)} dead letters are ${ACTIONS[action].done}.`,
  ];
  if (unchanged > 0)
    lines.push(`${number(unchanged)} more fit, but are in a status in which this makes no sense.`);
  for (const { why, letters: count, example } of refused)
    lines.push(`${number(count)} refused, for example ${example}: ${why}`);
  return lines.join('\n');
}

async function change(terminal: Terminal, action: Action, options: Options): Promise<void> {
  const output = new Output(terminal, options.json);
  const selection = selectionBody(options, options.all);
  const really = options.dryRun !== true && options.yes === true;
  const why = options.why?.trim() ?? '';
  if (options.dryRun !== true && why === '')
    throw usage('Say --why: it is recorded in the audit trail. Or --dry-run, to see what would be done.');
  const patch = action === 'edit' ? { patch: patchOf(options.patch) } : {};
  const tell = (body: object, key?: string) =>
    tellGateway<DeadLetterChanged>(
      options,
      {
        method: 'POST',
        path: `/dead-letters/${action}`,
        body: { selection, ...patch, ...body },
        actor: options.by,
        ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
      },
      CHANGE_MS,
    );
  // A key of the caller's own may belong to a request that was done: then its answer counts, not what is left to do.
  if (really && options.key !== undefined) {
    const { body } = await tell({ why }, options.key);
    output.result(body, () => describe(body, false));
    return;
  }
  const { body: plan } = await tell({ why: why === '' ? 'a dry run' : why, dryRun: true });
  if (!really || plan.letters === 0) {
    output.result(plan, () => describe(plan, true));
    if (options.dryRun !== true && plan.letters > 0)
      throw new WeirError('WEIR_STATE', 'fatal', 'Nothing was changed. Say --yes to do it.');
    return;
  }
  const { body } = await tell({ why, expect: plan.letters }, randomUUID());
  output.result(body, () => describe(body, false));
}

export function addChanges(command: Command, terminal: Terminal): void {
  for (const action of ['edit', 'park', 'unpark', 'purge'] as const) {
    const added = addSelection(command.command(action).description(ACTIONS[action].about))
      .option('--all', 'every letter')
      .option('--why <text>', 'the reason, recorded in the audit trail; required')
      .option('--by <name>', 'who does it (default: user@host)')
      .option('--dry-run', 'only say what would be done')
      .option('--yes', 'do it; without it the command only says what it would do')
      .option('--key <key>', 'Idempotency-Key: the same request again does nothing, and answers the same');
    if (action === 'edit') added.option('--patch <json>', 'JSON patch (RFC 6902), or @file');
    addGateway(added).action((options: Options) => change(terminal, action, options));
  }
}
