import type { Ledger } from '@weir/api';
import { Command } from 'commander';
import { Finished } from '../finished.ts';
import { addGateway, askGateway, type GatewayOptions } from '../gateway.ts';
import { number, Output, type Terminal, table } from '../output.ts';
import { watchAnswers } from '../watch-answers.ts';

interface LedgerOptions extends GatewayOptions {
  readonly json?: boolean;
  readonly watch?: boolean;
}

/** The monitor balances as often. */
const WATCH_MS = 3_000;

type Figures = Omit<Ledger['flows'][number], 'flow' | 'text' | 'unit'>;
interface Row extends Partial<Figures> {
  readonly name: string;
  readonly unit?: string;
  /** Null: it cannot be told. */
  readonly residual: number | null;
}

const count = (value: number | null | undefined): string | null => (value == null ? null : number(value));

function rowsOf({ hops, flows, residual }: Ledger): readonly Row[] {
  const known = hops.flatMap(({ inFlight, unit }) => (unit === 'readings' ? (inFlight ?? []) : []));
  return [
    ...hops.map(({ hop, ...rest }) => ({ ...rest, name: hop })),
    { name: 'total', residual, inFlight: known.length === 0 ? null : known.reduce((a, b) => a + b, 0) },
    ...flows.map(({ flow, ...rest }) => ({ ...rest, name: flow, residual: null })),
  ];
}

const HOW_TO_ACKNOWLEDGE = `A residual ends when its readings are there again, or when somebody takes note of it, by acknowledging
its alert: \`weir alerts ls\`, then \`weir alerts ack <id> --why …\`.`;

function ledgerText(ledger: Ledger, output: Output): string {
  const { at, text, residual, hops, losses } = ledger;
  const open = losses.filter((loss) => loss.readings > loss.acknowledged);
  return [
    `${output.style(residual === 0 ? 'green' : 'red', text)} Balanced at ${at}.`,
    '',
    table<Row>(
      [
        { title: 'HOP', value: ({ name }) => name },
        { title: 'COUNTS', value: ({ unit }) => unit ?? '' },
        { title: 'ACCEPTED', value: ({ accepted }) => count(accepted), align: 'right' },
        { title: 'SENT', value: ({ sent }) => count(sent), align: 'right' },
        { title: 'STORED', value: ({ stored }) => count(stored), align: 'right' },
        { title: 'DUPLICATES', value: ({ duplicates }) => count(duplicates), align: 'right' },
        { title: 'DEAD LETTERS', value: ({ deadLettered }) => count(deadLettered), align: 'right' },
        { title: 'DROPPED', value: ({ dropped }) => count(dropped), align: 'right' },
        { title: 'IN FLIGHT', value: ({ inFlight }) => count(inFlight), align: 'right' },
        { title: 'RESIDUAL', value: ({ residual: own }) => count(own), align: 'right' },
      ],
      rowsOf(ledger),
    ),
    ...hops.filter(({ lost }) => lost > 0).map(({ hop, text: why }) => `${hop}: ${why}`),
    ...(residual === 0 ? [] : ['', ...open.map(lossText), HOW_TO_ACKNOWLEDGE]),
  ].join('\n');
}

function lossText({
  hop,
  readings,
  acknowledged,
  edge,
  partition,
  object,
}: Ledger['losses'][number]): string {
  const where = [
    ...(edge === null ? [] : [`edge ${edge}`]),
    ...(partition === null ? [] : [`partition ${partition}`]),
    ...(object === null ? [] : [object]),
  ];
  return `  ${number(readings - acknowledged)} at ${hop}: ${where.join(', ')}`;
}

export function ledgerCommand(terminal: Terminal): Command {
  const command = new Command('ledger')
    .description(
      'whether every acknowledged reading is somewhere: counts of each hop, what is missing, and where',
    )
    .option('--watch', 'the same again and again, until Ctrl-C; with --json one document a line')
    .addHelpText(
      'after',
      `
Examples:
  $ weir ledger
  $ weir ledger --watch
  $ weir ledger --json | jq .residual

A dash: nothing of the kind happens there, or it is not known. What has no residual is counted and cannot be balanced,
because RabbitMQ delivers what it delivered before as if it were new.

${HOW_TO_ACKNOWLEDGE}

Exit code 0 when the ledger balances, 1 when there is a residual or nobody knows; with --watch 0.`,
    )
    .action(async (options: LedgerOptions) => {
      const output = new Output(terminal, options.json);
      const ask = () => askGateway<Ledger>(options, '/ledger');
      const text = (ledger: Ledger): string => ledgerText(ledger, output);
      if (options.watch === true)
        return watchAnswers(terminal, output, { ask, text, waitMs: () => WATCH_MS });
      const ledger = await ask();
      output.result(ledger, () => text(ledger));
      if (ledger.residual > 0) throw new Finished(1);
    });
  return addGateway(command);
}
