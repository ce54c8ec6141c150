import { readFileSync } from 'node:fs';
import type {
  Alert,
  AlertDetail,
  AlertRuleList,
  AlertRuleView,
  Matcher,
  NotifierList,
  NotifierTest,
  Silence,
  SilenceList,
} from '@weir/api';
import { errorMessage } from '@weir/flow';
import { Command } from 'commander';
import { parse } from 'yaml';
import { durationMs, timeOf } from '../duration.ts';
import { Finished } from '../finished.ts';
import { addGateway, askGateway, type GatewayOptions, tellGateway } from '../gateway.ts';
import { figure, number, Output, type Terminal, table } from '../output.ts';
import { usage } from '../settings.ts';
import { alertsCommand as listCommand } from './query/alerts.ts';

interface Common extends GatewayOptions {
  readonly json?: boolean;
}
interface Changing extends Common {
  readonly why: string;
  readonly by?: string;
}

const placeOf = ({ site, device }: Alert): string => (device === '' ? site : `${site}/${device}`);
const withWhy = (command: Command): Command =>
  command
    .requiredOption('--why <text>', 'why, for the audit trail')
    .option('--by <name>', 'who, for the audit trail (default: you)');

function show(terminal: Terminal): Command {
  return new Command('show')
    .description('one alert, its changes, and whom it was told')
    .argument('<id>', 'id of the alert')
    .action(async (id: string, options: Common) => {
      const detail = await askGateway<AlertDetail>(options, `/alerts/${encodeURIComponent(id)}`);
      const { alert, changes, deliveries } = detail;
      new Output(terminal, options.json).result(detail, () =>
        [
          `${alert.severity} ${alert.rule} (${alert.kind}) on ${placeOf(alert)} ${alert.metric}: ${alert.state}`,
          `value ${figure(alert.value)}, limit ${figure(alert.threshold)}, since ${alert.startedAt}`,
          ...(alert.acknowledgedBy === null
            ? []
            : [`acknowledged by ${alert.acknowledgedBy} at ${alert.acknowledgedAt}`]),
          ...(alert.suppressedBy === null ? [] : [`covered by the alert ${alert.suppressedBy}`]),
          '',
          table(
            [
              { title: 'CHANGE', value: (one) => one.state },
              { title: 'AT', value: (one) => one.at },
            ],
            changes,
            'No change was recorded.',
          ),
          '',
          table(
            [
              { title: 'NOTIFIER', value: (one) => one.notifier },
              {
                title: 'OF',
                value: (one) => (one.repeat === 0 ? one.change : `${one.change}, reminder ${one.repeat}`),
              },
              {
                title: 'STATE',
                value: (one) => (one.reason === null ? one.state : `${one.state}: ${one.reason}`),
              },
              { title: 'CAUSE', value: (one) => one.cause },
              { title: 'ATTEMPTS', value: (one) => one.attempts, align: 'right' },
              { title: 'WHEN', value: (one) => one.settledAt ?? one.nextAt },
              { title: 'ERROR', value: (one) => one.lastError },
            ],
            deliveries,
            'No notifier was told.',
          ),
        ].join('\n'),
      );
    });
}

function ack(terminal: Terminal): Command {
  return withWhy(new Command('ack'))
    .description('take an alert on: nobody is reminded of it any more')
    .argument('<id>', 'id of the alert')
    .action(async (id: string, options: Changing) => {
      const { body } = await tellGateway<Alert>(options, {
        method: 'POST',
        path: `/alerts/${encodeURIComponent(id)}/ack`,
        body: { why: options.why },
        actor: options.by,
      });
      new Output(terminal, options.json).result(
        body,
        () => `${body.rule} on ${placeOf(body)} is acknowledged by ${body.acknowledgedBy}.`,
      );
    });
}

/** `site=plant-1`, `rule!=hot*` */
function matcherOf(text: string): Matcher {
  const [, name, op, value] = /^([a-zA-Z_][a-zA-Z0-9_]*)(!?=)(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw usage(`"${text}" is no matcher; they look like site=plant-1, device=pump-* or rule!=hot.`);
  return { name, op: op === '!=' ? '!=' : '=', value };
}
const matcherText = ({ name, op, value }: Matcher): string => `${name}${op}${value}`;

interface SilenceOptions extends Changing {
  readonly for?: string;
  readonly from?: string;
  readonly to?: string;
}

function endOf({ for: length, from, to }: SilenceOptions): { from?: string; to: string } {
  if ((length === undefined) === (to === undefined))
    throw usage('Say how long: --for 2h, or --to with a time.');
  const start = from === undefined ? undefined : timeOf('--from', from);
  const end =
    to === undefined ? (start ?? Date.now()) + durationMs('--for', length ?? '') : timeOf('--to', to);
  return {
    ...(start === undefined ? {} : { from: new Date(start).toISOString() }),
    to: new Date(end).toISOString(),
  };
}

function silence(terminal: Terminal): Command {
  return withWhy(new Command('silence'))
    .description('tell nobody of the alerts that fit all matchers, for a time')
    .argument('<matcher...>', 'site=plant-1, device=pump-*, rule!=hot, severity=info, or a label')
    .option('--for <duration>', 'how long, for example 2h')
    .option('--from <time>', 'when it begins (default: now)')
    .option('--to <time>', 'when it ends')
    .action(async (matchers: readonly string[], options: SilenceOptions) => {
      const { body } = await tellGateway<Silence>(options, {
        method: 'POST',
        path: '/silences',
        body: { matchers: matchers.map(matcherOf), ...endOf(options), why: options.why },
        actor: options.by,
      });
      new Output(terminal, options.json).result(
        body,
        () =>
          `Silence ${body.id} of ${body.matchers.map(matcherText).join(' ')} lasts until ${body.to}.\n` +
          `End it sooner: weir alerts unsilence ${body.id} --why …`,
      );
    });
}

function silences(terminal: Terminal): Command {
  return new Command('silences')
    .description('silences that have not ended')
    .option('--all', 'also those that have')
    .option('--limit <n>', 'at most this many', '100')
    .action(async (options: Common & { readonly all?: boolean; readonly limit: string }) => {
      const state = options.all === true ? 'all' : 'current';
      const page = await askGateway<SilenceList>(options, '/silences', { state, limit: options.limit });
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'ID', value: (one) => one.id },
            { title: 'STATE', value: (one) => one.state },
            { title: 'MATCHERS', value: (one) => one.matchers.map(matcherText).join(' ') },
            { title: 'UNTIL', value: (one) => one.to },
            { title: 'BY', value: (one) => one.by },
            { title: 'WHY', value: (one) => one.why },
          ],
          page.silences,
          'No silences.',
        ),
      );
    });
}

function unsilence(terminal: Terminal): Command {
  return withWhy(new Command('unsilence'))
    .description('end a silence now; what still fires is told')
    .argument('<id>', 'id of the silence')
    .action(async (id: string, options: Changing) => {
      const { body } = await tellGateway<Silence>(options, {
        method: 'DELETE',
        path: `/silences/${encodeURIComponent(id)}`,
        parameters: { why: options.why },
        actor: options.by,
      });
      new Output(terminal, options.json).result(body, () => `Silence ${body.id} has ended.`);
    });
}

/** What a rule looks at, in a few words. */
function gist({ rule }: AlertRuleView): string {
  const {
    kind,
    metric,
    above,
    below,
    when,
    rule: of,
    devices,
    within,
    after,
  } = rule as Record<string, unknown>;
  const parts = [
    kind ?? 'threshold',
    metric,
    above === undefined ? undefined : `> ${String(above)}`,
    below === undefined ? undefined : `< ${String(below)}`,
    after === undefined ? undefined : `for ${String(after)}`,
    when === undefined ? undefined : JSON.stringify(when),
    of === undefined ? undefined : `${String(devices)} × ${String(of)} within ${String(within)}`,
  ];
  return parts.filter((part) => part !== undefined).join(' ');
}

function rules(terminal: Terminal): Command {
  return new Command('rules')
    .description('the rules of the configuration and of the API')
    .action(async (options: Common) => {
      const page = await askGateway<AlertRuleList>(options, '/alert-rules');
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'RULE', value: (one) => one.id },
            { title: 'FROM', value: (one) => (one.overrides ? `${one.source}, overrides` : one.source) },
            {
              title: 'STATE',
              value: (one) => (one.problem !== null ? 'not applied' : one.enabled ? 'on' : 'off'),
            },
            { title: 'SEVERITY', value: (one) => String(one.rule.severity ?? 'warning') },
            { title: 'WATCHES', value: gist },
            { title: 'CHANGED BY', value: (one) => one.updatedBy },
            { title: 'PROBLEM', value: (one) => one.problem },
          ],
          page.rules,
          'No rules.',
        ),
      );
    });
}

/** The version that a change is for, as of now. */
async function seenVersion(options: Common, id: string): Promise<Record<string, string>> {
  const page = await askGateway<AlertRuleList>(options, '/alert-rules');
  const version = page.rules.find((rule) => rule.id === id)?.version ?? null;
  return version === null ? {} : { 'if-match': `"${version}"` };
}

function setRule(terminal: Terminal): Command {
  return withWhy(new Command('set-rule'))
    .description('write a rule, from a file as weir.yaml has it; applied within seconds')
    .argument('<id>', 'name of the rule')
    .requiredOption('--file <file>', 'YAML or JSON: kind, metric, above, hold, …')
    .option('--off', 'keep it and do not evaluate it')
    .action(async (id: string, options: Changing & { readonly file: string; readonly off?: boolean }) => {
      let rule: unknown;
      try {
        rule = parse(readFileSync(options.file, 'utf8'));
      } catch (error) {
        throw usage(`Reading the rule from ${options.file}: ${errorMessage(error)}.`);
      }
      const { body, status } = await tellGateway<AlertRuleView>(options, {
        method: 'PUT',
        path: `/alert-rules/${encodeURIComponent(id)}`,
        headers: await seenVersion(options, id),
        body: { rule, enabled: options.off !== true, why: options.why },
        actor: options.by,
      });
      new Output(terminal, options.json).result(
        body,
        () =>
          `Rule ${body.id} is ${status === 201 ? 'new' : 'changed'}: ${gist(body)}${body.enabled ? '' : ', off'}.`,
      );
    });
}

function removeRule(terminal: Terminal): Command {
  return withWhy(new Command('remove-rule'))
    .description('remove a rule of the API; one of the configuration with its name comes back')
    .argument('<id>', 'name of the rule')
    .option('--yes', 'really do it')
    .action(async (id: string, options: Changing & { readonly yes?: boolean }) => {
      if (options.yes !== true) throw usage(`Removing the rule ${id} resolves its alerts. Say --yes.`);
      await tellGateway(options, {
        method: 'DELETE',
        path: `/alert-rules/${encodeURIComponent(id)}`,
        parameters: { why: options.why },
        headers: await seenVersion(options, id),
        actor: options.by,
      });
      new Output(terminal, options.json).result({ removed: id }, () => `Rule ${id} is removed.`);
    });
}

function notifiers(terminal: Terminal): Command {
  return new Command('notifiers')
    .description('who is told of alerts, and how that goes')
    .action(async (options: Common) => {
      const page = await askGateway<NotifierList>(options, '/notifiers');
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'NOTIFIER', value: (one) => one.id },
            { title: 'KIND', value: (one) => one.kind },
            { title: 'STATE', value: (one) => one.state },
            { title: 'QUEUED', value: (one) => number(one.queued), align: 'right' },
            { title: 'HELD', value: (one) => number(one.held), align: 'right' },
            { title: 'LAST SENT', value: (one) => one.lastSentAt },
            { title: 'LAST ERROR', value: (one) => one.lastError },
          ],
          page.notifiers,
        ),
      );
    });
}

function test(terminal: Terminal): Command {
  return new Command('test')
    .description('send a test alert through a notifier and print what came back; exit code 1 when it failed')
    .argument('<notifier>', 'name of the notifier')
    .action(async (notifier: string, options: Common) => {
      const { body } = await tellGateway<NotifierTest>(
        options,
        { method: 'POST', path: `/notifiers/${encodeURIComponent(notifier)}/test` },
        60_000,
      );
      new Output(terminal, options.json).result(
        body,
        () =>
          `${body.ok ? 'Delivered' : 'Failed'} after ${number(body.tookMs)} ms, message ${body.message}: ${body.said}`,
      );
      if (!body.ok) throw new Finished(1);
    });
}

export function alertsCommand(terminal: Terminal): Command {
  const command = new Command('alerts').description('alerts, silences, rules and who is told').addHelpText(
    'after',
    `
Examples:
  $ weir alerts ls --state firing
  $ weir alerts ack 4f1c… --why 'on my way'
  $ weir alerts silence site=plant-1 device=pump-* --for 2h --why 'pumps are serviced'
  $ weir alerts set-rule too-hot --file too-hot.yaml --why 'new limit of the vendor'
  $ weir alerts test ops`,
  );
  const ls = (at: Terminal): Command => listCommand(at).name('ls');
  const all = [ls, show, ack, silence, silences, unsilence, rules, setRule, removeRule, notifiers, test];
  for (const make of all) {
    command.addCommand(addGateway(make(terminal)));
  }
  return command;
}
