import type { AlertList } from '@weir/api';
import { Command, Option } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, Output, type Terminal, table } from '../../output.ts';

export function alertsCommand(terminal: Terminal): Command {
  return new Command('alerts')
    .description('alerts, newest first')
    .addOption(
      new Option('--state <state>', 'only this state').choices([
        'pending',
        'firing',
        'acknowledged',
        'resolved',
      ]),
    )
    .addOption(
      new Option('--severity <severity>', 'only this severity').choices(['info', 'warning', 'critical']),
    )
    .option('--site <site>', 'only this site')
    .option('--device <device>', 'only this device')
    .option('--limit <n>', 'at most this many', '50')
    .action(async (options) => {
      const { state, severity, site, device, limit } = options;
      const page = await askGateway<AlertList>(options, '/alerts', { state, severity, site, device, limit });
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'ID', value: (one) => one.id },
            { title: 'STATE', value: (one) => one.state },
            { title: 'SEVERITY', value: (one) => one.severity },
            { title: 'RULE', value: (one) => one.rule },
            { title: 'DEVICE', value: (one) => (one.device === '' ? one.site : `${one.site}/${one.device}`) },
            { title: 'METRIC', value: (one) => one.metric },
            { title: 'VALUE', value: (one) => figure(one.value), align: 'right' },
            { title: 'SINCE', value: (one) => one.startedAt },
          ],
          page.alerts,
          'No alerts.',
        ),
      );
    });
}
