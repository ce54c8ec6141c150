import type { WindowList } from '@weir/api';
import { LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, Output, type Terminal, table } from '../../output.ts';
import { figureColumns } from './figure-columns.ts';

export function windowsCommand(terminal: Terminal): Command {
  return new Command('windows')
    .description('windows of one metric of a device')
    .argument('<device>', 'name of the device')
    .requiredOption('--metric <name>', 'metric')
    .addOption(new Option('--level <level>', 'window size').choices(LEVELS.map(({ name }) => name)))
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .option('--limit <n>', 'at most this many', '1000')
    .action(async (device: string, options) => {
      const { metric, level, from, to, site, limit } = options;
      const path = `/devices/${encodeURIComponent(device)}/windows`;
      const answer = await askGateway<WindowList>(options, path, { metric, level, from, to, site, limit });
      const right = { align: 'right' } as const;
      new Output(terminal, options.json).result(answer, () =>
        table(
          [
            { title: `START (${answer.level})`, value: (one) => one.start },
            ...figureColumns<WindowList['windows'][number]>((one) => one),
            { title: 'LAST', value: (one) => figure(one.last), ...right },
          ],
          answer.windows,
          `No windows of ${metric} between ${answer.from} and ${answer.to}.`,
        ),
      );
    });
}
