import type { RollupList, RollupWindowList } from '@weir/api';
import { ROLLUP_LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { Output, type Terminal, table } from '../../output.ts';
import { figureColumns } from './figure-columns.ts';

export function rollupsCommand(terminal: Terminal): Command {
  return new Command('rollups')
    .description('windows of a group of devices; without a group, the groups')
    .argument('[group]', 'fleet, site=plant-1, line=a')
    .option('--metric <name>', 'metric; needed with a group')
    .addOption(new Option('--level <level>', 'window size').choices(ROLLUP_LEVELS.map(({ name }) => name)))
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--limit <n>', 'at most this many', '1000')
    .action(async (group: string | undefined, options, command: Command) => {
      const { metric, level, from, to, limit } = options;
      const output = new Output(terminal, options.json);
      if (group === undefined) {
        const page = await askGateway<RollupList>(options, '/rollups', { limit });
        output.result(page, () =>
          table(
            [
              { title: 'GROUP', value: (one) => one.group },
              { title: 'METRIC', value: (one) => one.metric },
            ],
            page.rollups,
            'Nothing has been rolled up yet.',
          ),
        );
        return;
      }
      if (metric === undefined) command.error("error: required option '--metric <name>' not specified");
      const query = { group, metric, level, from, to, limit };
      const answer = await askGateway<RollupWindowList>(options, '/rollups/windows', query);
      const right = { align: 'right' } as const;
      output.result(answer, () =>
        table(
          [
            { title: `START (${answer.level})`, value: (one) => one.start },
            { title: 'DEVICES', value: (one) => one.devices, ...right },
            ...figureColumns<RollupWindowList['windows'][number]>((one) => one),
          ],
          answer.windows,
          `No windows of ${metric} of ${group} between ${answer.from} and ${answer.to}.`,
        ),
      );
    });
}
