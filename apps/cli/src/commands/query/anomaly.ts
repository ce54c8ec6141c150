import type { Anomaly } from '@weir/api';
import { LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, number, Output, type Terminal, table } from '../../output.ts';

export function anomalyCommand(terminal: Terminal): Command {
  return new Command('anomaly')
    .description('alarms and anomalous windows of one metric of a device; a score of 1 is the threshold')
    .argument('<device>', 'name of the device')
    .requiredOption('--metric <name>', 'metric')
    .addOption(
      new Option('--level <level>', 'windows that are scored')
        .choices(LEVELS.map(({ name }) => name))
        .default('5m'),
    )
    .option('--all', 'every window, not the anomalous ones alone')
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .action(async (device: string, options) => {
      const { metric, level, from, to, site } = options;
      const path = `/devices/${encodeURIComponent(device)}/anomaly`;
      const answer = await askGateway<Anomaly>(options, path, { metric, level, from, to, site });
      new Output(terminal, options.json).result(answer, () => textOf(answer, options.all === true));
    });
}

function textOf({ alarms, points, level, learntFrom, from, to }: Anomaly, all: boolean): string {
  const right = { align: 'right' } as const;
  const scored = points.filter(({ score }) => score !== null).length;
  return [
    table(
      [
        { title: 'ALARM FROM', value: (alarm) => alarm.from },
        { title: 'TO', value: (alarm) => (alarm.isOpen ? `${alarm.to} (open)` : alarm.to) },
        { title: 'CAUSE', value: (alarm) => alarm.cause },
        { title: 'PEAK', value: (alarm) => number(alarm.peak, 2), ...right },
      ],
      alarms,
      `No alarm between ${from} and ${to}.`,
    ),
    '',
    table(
      [
        { title: `START (${level})`, value: (point) => point.start },
        { title: 'VALUE', value: (point) => figure(point.value), ...right },
        { title: 'EXPECTED', value: (point) => figure(point.expected), ...right },
        { title: 'LOW', value: (point) => figure(point.low), ...right },
        { title: 'HIGH', value: (point) => figure(point.high), ...right },
        { title: 'SCORE', value: (point) => figure(point.score), ...right },
        { title: 'CAUSE', value: (point) => point.cause },
      ],
      all ? points : points.filter(({ score }) => score !== null && score >= 1),
      'No window is anomalous.',
    ),
    '',
    learntFrom === null
      ? `There are no closed windows of ${level} yet.`
      : `${scored} of ${points.length} windows could be scored, from what was learnt since ${learntFrom}.`,
  ].join('\n');
}
