import type { Latest } from '@weir/api';
import { Command } from 'commander';
import { askGateway } from '../../gateway.ts';
import { number, Output, type Terminal, table } from '../../output.ts';

export function latestCommand(terminal: Terminal): Command {
  return new Command('latest')
    .description('newest value of each metric of a device')
    .argument('<device>', 'name of the device')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .action(async (device: string, options) => {
      const { site } = options;
      const answer = await askGateway<Latest>(options, `/devices/${encodeURIComponent(device)}/latest`, {
        site,
      });
      new Output(terminal, options.json).result(answer, () =>
        table(
          [
            { title: 'METRIC', value: (one) => one.metric },
            { title: 'VALUE', value: (one) => number(one.value, 6), align: 'right' },
            { title: 'UNIT', value: (one) => one.unit },
            { title: 'AT', value: (one) => one.at },
          ],
          answer.values,
        ),
      );
    });
}
