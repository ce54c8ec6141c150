import type { DeviceList } from '@weir/api';
import { Command } from 'commander';
import { askGateway } from '../../gateway.ts';
import { Output, type Terminal, table } from '../../output.ts';

export function devicesCommand(terminal: Terminal): Command {
  return new Command('devices')
    .description('devices that have sent a reading')
    .option('--site <site>', 'only this site')
    .option('--search <text>', 'only devices whose name or site holds this text')
    .option('--limit <n>', 'at most this many', '50')
    .action(async (options) => {
      const { site, search, limit } = options;
      const page = await askGateway<DeviceList>(options, '/devices', { site, q: search, limit });
      new Output(terminal, options.json).result(page, () =>
        table(
          [
            { title: 'DEVICE', value: (one) => one.id },
            { title: 'SITE', value: (one) => one.site },
            { title: 'METRICS', value: (one) => one.metrics.map(({ name }) => name).join(', ') },
            { title: 'LAST SEEN', value: (one) => one.lastSeen },
          ],
          page.devices,
          'No device has sent a reading yet.',
        ),
      );
    });
}
