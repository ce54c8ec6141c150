import type { Series } from '@weir/api';
import { LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, Output, type Terminal, table } from '../../output.ts';
import { figureColumns } from './figure-columns.ts';

export function seriesCommand(terminal: Terminal): Command {
  return new Command('series')
    .description('one metric of a device over a time range, in points of one length; gaps are shown')
    .argument('<device>', 'name of the device')
    .requiredOption('--metric <name>', 'metric')
    .option('--points <n>', 'at most this many points', '60')
    .addOption(
      new Option('--level <level>', 'one point for each window of this size instead').choices(
        LEVELS.map(({ name }) => name),
      ),
    )
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .action(async (device: string, options) => {
      const { metric, points, level, from, to, site } = options;
      const path = `/devices/${encodeURIComponent(device)}/series`;
      const answer = await askGateway<Series>(options, path, { metric, points, level, from, to, site });
      const right = { align: 'right' } as const;
      new Output(terminal, options.json).result(answer, () =>
        [
          table(
            [
              { title: 'START', value: ({ start }) => start },
              { title: 'STATE', value: stateOf },
              ...figureColumns<Series['points'][number]>(({ figures }) => figures, 'MEDIAN'),
              { title: 'CHANGE/S', value: ({ figures }) => figure(figures?.rateOfChange ?? null), ...right },
            ],
            answer.points,
          ),
          '',
          `Points of ${answer.seconds} s, from ${answer.stretches.map(({ level: name, windows }) => (name === null ? 'expired windows' : `${windows} windows of ${name}`)).join(', then ')}.`,
          answer.watermark === null ? 'No watermark yet.' : `Complete up to ${answer.watermark}.`,
        ].join('\n'),
      );
    });
}

function stateOf({ isFinal, isClosed }: Series['points'][number]): string {
  if (isFinal) return 'final';
  return isClosed ? 'closed' : 'open';
}
