import type { ExpressionValues } from '@weir/api';
import { LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, Output, type Terminal, table } from '../../output.ts';

export function expressionCommand(terminal: Terminal): Command {
  return new Command('expression')
    .description('arithmetic over the windows of a device')
    .argument('<device>', 'name of the device')
    .argument('<expr>', "such as '(inlet.mean - outlet.mean) / outlet.mean'")
    .addOption(new Option('--level <level>', 'window size').choices(LEVELS.map(({ name }) => name)))
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .option('--limit <n>', 'at most this many', '1000')
    .action(async (device: string, expr: string, options) => {
      const { level, from, to, site, limit } = options;
      const path = `/devices/${encodeURIComponent(device)}/expression`;
      const query = { expr, level, from, to, site, limit };
      const answer = await askGateway<ExpressionValues>(options, path, query);
      new Output(terminal, options.json).result(answer, () =>
        table(
          [
            { title: `START (${answer.level})`, value: (one) => one.start },
            { title: 'VALUE', value: (one) => figure(one.value), align: 'right' },
          ],
          answer.values,
        ),
      );
    });
}
