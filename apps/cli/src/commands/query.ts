import type { AlertList, DeviceList, Latest, WindowList } from '@weir/api';
import { LEVELS } from '@weir/topology';
import { Command, Option } from 'commander';
import { askGateway } from '../gateway.ts';
import { number, Output, type Terminal, table } from '../output.ts';

const figure = (value: number | null): string => (value === null ? '–' : number(value, 4));

function devices(terminal: Terminal): Command {
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

function latest(terminal: Terminal): Command {
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

function windows(terminal: Terminal): Command {
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
            { title: 'COUNT', value: (one) => one.count, ...right },
            { title: 'MEAN', value: (one) => figure(one.mean), ...right },
            { title: 'STDDEV', value: (one) => figure(one.stddev), ...right },
            { title: 'MIN', value: (one) => figure(one.min), ...right },
            { title: 'P50', value: (one) => figure(one.p50), ...right },
            { title: 'P99', value: (one) => figure(one.p99), ...right },
            { title: 'MAX', value: (one) => figure(one.max), ...right },
            { title: 'LAST', value: (one) => figure(one.last), ...right },
          ],
          answer.windows,
          `No windows of ${metric} between ${answer.from} and ${answer.to}.`,
        ),
      );
    });
}

function alerts(terminal: Terminal): Command {
  return new Command('alerts')
    .description('alerts, newest first')
    .addOption(new Option('--state <state>', 'only this state').choices(['pending', 'firing', 'resolved']))
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
            { title: 'STATE', value: (one) => one.state },
            { title: 'SEVERITY', value: (one) => one.severity },
            { title: 'RULE', value: (one) => one.rule },
            { title: 'DEVICE', value: (one) => `${one.site}/${one.device}` },
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

export function queryCommand(terminal: Terminal): Command {
  const command = new Command('query')
    .description('ask the gateway about devices, windows and alerts')
    .addHelpText(
      'after',
      `
Examples:
  $ weir query devices --site plant-1
  $ weir query latest machine-1
  $ weir query windows machine-1 --metric temperature --level 10s --from 2026-01-31T12:00:00Z
  $ weir query alerts --state firing --json`,
    );
  for (const make of [devices, latest, windows, alerts]) {
    command.addCommand(
      make(terminal)
        .option('--url <url>', 'address of the gateway (default: of this machine)')
        .option('--data <dir>', 'data folder of `weir up`')
        .option('--json', 'print JSON'),
    );
  }
  return command;
}
