import { VIEW_KINDS, type View } from '@weir/api';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, Output, type Terminal, table } from '../../output.ts';
import { figureColumns } from './figure-columns.ts';

export function viewsCommand(terminal: Terminal): Command {
  return new Command('views')
    .description('hopping or sliding windows, moving average, EWMA or rate of one metric of a device')
    .argument('<device>', 'name of the device')
    .requiredOption('--metric <name>', 'metric')
    .addOption(new Option('--kind <kind>', 'what to compute').choices(VIEW_KINDS).default('hopping'))
    .option('--size <length>', 'length of a window, or half-life of an EWMA, for example 5m', '5m')
    .option('--hop <length>', 'from one point to the next (default: of hopping windows their size)')
    .option('--from <time>', 'start, RFC 3339 or epoch milliseconds (default: an hour before the end)')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .action(async (device: string, options) => {
      const { metric, kind, size, hop, from, to, site } = options;
      const path = `/devices/${encodeURIComponent(device)}/views`;
      const answer = await askGateway<View>(options, path, { metric, kind, size, hop, from, to, site });
      new Output(terminal, options.json).result(answer, () => {
        const origin = `Every ${answer.hopSeconds} s over ${answer.sizeSeconds} s, from windows of ${answer.level}; – means no reading.`;
        return `${pointsOf(answer)}\n\n${origin}`;
      });
    });
}

function pointsOf({ kind, points }: View): string {
  const right = { align: 'right' } as const;
  if (kind !== 'hopping' && kind !== 'sliding') {
    return table(
      [
        { title: 'UP TO', value: ({ end }) => end },
        { title: kind.toUpperCase(), value: ({ value }) => figure(value ?? null), ...right },
      ],
      points,
    );
  }
  return table(
    [
      { title: 'START', value: ({ start }) => start },
      ...figureColumns<View['points'][number]>(({ figures }) => figures, 'MEDIAN'),
    ],
    points,
  );
}
