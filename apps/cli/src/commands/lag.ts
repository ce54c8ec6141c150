import type { LagDetail, LagExplanation, LagGroup, LagList, LagSystem, LagVerdict } from '@weir/api';
import { Command, Option } from 'commander';
import { addGateway, askGateway, type GatewayOptions } from '../gateway.ts';
import { Output, type Terminal, table } from '../output.ts';
import { watchAnswers } from '../watch-answers.ts';

interface Common extends GatewayOptions {
  readonly json?: boolean;
}
interface Target extends Common {
  readonly system?: LagSystem;
}

const seconds = (ms: number | null): string | null =>
  ms === null ? null : ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
const rate = (value: number | null): string | null => (value === null ? null : `${value.toFixed(1)}/s`);

type Row = Pick<LagGroup, 'verdict' | 'lag' | 'timeLagMs' | 'velocity' | 'etaMs' | 'inRate' | 'outRate'>;
const figures = [
  { title: 'LAG', value: ({ lag }: Row) => lag, align: 'right' },
  { title: 'TIME LAG', value: ({ timeLagMs }: Row) => seconds(timeLagMs), align: 'right' },
  { title: 'GROWS', value: ({ velocity }: Row) => rate(velocity), align: 'right' },
  { title: 'CAUGHT UP IN', value: ({ etaMs }: Row) => seconds(etaMs), align: 'right' },
  { title: 'IN', value: ({ inRate }: Row) => rate(inRate), align: 'right' },
  { title: 'OUT', value: ({ outRate }: Row) => rate(outRate), align: 'right' },
] as const;

const listText = ({ groups, problems, left }: LagList): string =>
  [
    table(
      [
        { title: 'VERDICT', value: (one: LagGroup) => one.verdict },
        { title: 'SYSTEM', value: (one) => one.system },
        { title: 'GROUP OR QUEUE', value: (one) => one.group },
        ...figures,
        { title: 'CONSUMERS', value: (one) => one.consumers, align: 'right' },
      ],
      groups,
      'No group or queue is watched.',
    ),
    ...problems.map(({ system, message }) => `${system} cannot be measured: ${message}`),
    ...(left === 0 ? [] : [`${left} partitions are not watched: lagMonitor.maxPartitions`]),
  ].join('\n');

const STYLES = {
  OK: 'green',
  WARN: 'yellow',
  REWIND: 'yellow',
  ERR: 'red',
  STOP: 'red',
  STALL: 'red',
  UNKNOWN: 'dim',
} as const satisfies Record<LagVerdict, unknown>;

/** Verdicts at the beginning of lines in their colour, where there is a terminal. */
const painted = (text: string, output: Output): string =>
  text.replace(/^(?:OK|WARN|ERR|STOP|STALL|REWIND|UNKNOWN)\b/gm, (verdict) =>
    output.style(STYLES[verdict as LagVerdict], verdict),
  );

function ls(terminal: Terminal): Command {
  return new Command('ls')
    .description('all consumer groups and queues, worst first')
    .action(async (options: Common) => {
      const output = new Output(terminal, options.json);
      const list = await askGateway<LagList>(options, '/lag');
      output.result(list, () => painted(listText(list), output));
    });
}

function watch(terminal: Terminal): Command {
  return new Command('watch')
    .description('the same again and again, until Ctrl-C; with --json one document a line')
    .action(async (options: Common) => {
      const output = new Output(terminal, options.json);
      await watchAnswers(terminal, output, {
        ask: () => askGateway<LagList>(options, '/lag'),
        text: (list) => `${list.at}\n${painted(listText(list), output)}`,
        waitMs: ({ intervalMs }) => intervalMs,
      });
    });
}

/** Path of a group or queue; without --system the worst of those that bear the name. */
async function pathOf(group: string, options: Target): Promise<string> {
  const named = encodeURIComponent(group);
  if (options.system !== undefined) return `/lag/${options.system}/${named}`;
  const { groups } = await askGateway<LagList>(options, '/lag');
  return `/lag/${groups.find((one) => one.group === group)?.system ?? 'kafka'}/${named}`;
}
const ofOne = (command: Command): Command =>
  command
    .argument('<group>', 'consumer group or queue')
    .addOption(
      new Option('--system <name>', 'which one, when both know the name').choices(['kafka', 'rabbitmq']),
    );

function show(terminal: Terminal): Command {
  return ofOne(new Command('show').description('one group or queue with its partitions')).action(
    async (name: string, options: Target) => {
      const detail = await askGateway<LagDetail>(options, await pathOf(name, options));
      const { group, members } = detail;
      const output = new Output(terminal, options.json);
      const text = () =>
        [
          `${group.verdict} since ${group.since}: ${group.rule.text} (rule ${group.rule.number}, ${group.rule.name})`,
          '',
          table(
            [
              { title: 'VERDICT', value: (one) => one.verdict },
              { title: 'TOPIC', value: (one) => (one.topic === '' ? null : one.topic) },
              { title: 'PARTITION', value: (one) => one.partition, align: 'right' },
              { title: 'COMMITTED', value: (one) => one.committed, align: 'right' },
              { title: 'END', value: (one) => one.end, align: 'right' },
              ...figures,
              { title: 'LOST IN', value: (one) => seconds(one.timeToLossMs), align: 'right' },
              { title: 'CONSUMER', value: (one) => one.consumer },
            ],
            members,
          ),
        ].join('\n');
      output.result(detail, () => painted(text(), output));
    },
  );
}

function explain(terminal: Terminal): Command {
  return ofOne(
    new Command('explain').description('why it has its verdict: the rule, its numbers, the likely cause'),
  ).action(async (name: string, options: Target) => {
    const found = await askGateway<LagExplanation>(options, `${await pathOf(name, options)}/explain`);
    const { group, cause, others } = found;
    new Output(terminal, options.json).result(found, () =>
      [
        `${group.system} ${group.group}: ${group.verdict} since ${group.since}`,
        `rule ${group.rule.number}, ${group.rule.name}: ${group.rule.text}`,
        ...Object.entries(group.rule.numbers).map(([key, value]) => `  ${key} ${value ?? 'unknown'}`),
        `likely cause: ${cause.cause}. ${cause.text}`,
        `what to do: ${cause.advice}`,
        ...others.map((other) => `also possible: ${other.cause}. ${other.text}`),
      ].join('\n'),
    );
  });
}

export function lagCommand(terminal: Terminal): Command {
  const command = new Command('lag')
    .description('how far consumer groups and queues are behind, and why')
    .addHelpText(
      'after',
      `
Examples:
  $ weir lag ls
  $ weir lag show weir.aggregator
  $ weir lag explain weir.alerter.telemetry --json`,
    );
  for (const make of [ls, show, watch, explain]) command.addCommand(addGateway(make(terminal)));
  return command;
}
