import { join } from 'node:path';
import { Fleet, type FleetFigures, type FleetOptions } from '@weir/load';
import { PORTS } from '@weir/topology';
import { Command } from 'commander';
import { demoMachine } from '../demo.ts';
import { durationMs, numberWithin, wholeWithin } from '../duration.ts';
import { secretsFrom } from '../fleet/load-options.ts';
import { tellTrouble } from '../fleet/trouble.ts';
import { serveFleet } from '../fleet-metrics.ts';
import { number, Output, seconds, type Terminal } from '../output.ts';
import { dataFolder } from '../paths.ts';
import { effectiveConfig } from '../settings.ts';
import { capacityCommand } from './fleet-capacity.ts';
import { compareCommand } from './fleet-compare.ts';
import { loadCommand } from './fleet-load.ts';

const REPORT_MS = 10_000;
const REFRESH_MS = 500;

function describe(figures: FleetFigures, rate: number): string {
  const { devices, connected, sent, acknowledged, buffered, dropped, reconnects, refused, ackMs } = figures;
  const parts = [
    `${connected}/${devices} connected`,
    `${number(rate)} readings/s`,
    `${number(sent)} sent`,
    `${number(acknowledged)} acknowledged`,
    `${number(buffered)} buffered`,
    `${number(dropped)} dropped`,
    `${number(reconnects)} reconnects`,
  ];
  if (refused > 0) parts.push(`${number(refused)} refused`);
  return `${parts.join(', ')}; ack p50 ${ackMs.p50.toFixed(1)} ms, p99 ${ackMs.p99.toFixed(1)} ms`;
}

interface RunOptions {
  readonly devices: string;
  readonly rate: string;
  readonly qos: string;
  readonly duration?: string;
  readonly host: string;
  readonly port?: string;
  readonly site: string;
  readonly sites: string;
  readonly prefix: string;
  readonly buffer: string;
  readonly window: string;
  readonly seed: string;
  readonly state?: string;
  readonly secrets?: string;
  readonly demo?: boolean;
  readonly metrics?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

function fleetOptions(options: RunOptions, edgePort: number): FleetOptions {
  const qos = wholeWithin('--qos', options.qos, 0, 2) as 0 | 1 | 2;
  return {
    devices: wholeWithin('--devices', options.devices, 0, 100_000),
    rate: numberWithin('--rate', options.rate, 0.001, 1_000),
    qos,
    host: options.host,
    port: options.port === undefined ? edgePort : wholeWithin('--port', options.port, 1, 65_535),
    site: options.site,
    sites: wholeWithin('--sites', options.sites, 1, 10_000),
    prefix: options.prefix,
    bufferSize: wholeWithin('--buffer', options.buffer, 1, 59_999),
    window: wholeWithin('--window', options.window, 1, 1_000),
    seed: wholeWithin('--seed', options.seed, 0, 2 ** 32 - 1),
    stateFile: options.state ?? join(dataFolder(options.data), 'fleet', `${options.prefix}.json`),
    ...(options.demo === true ? { recorded: demoMachine } : {}),
    ...(options.secrets === undefined ? {} : { secrets: secretsFrom(options.secrets) }),
  };
}

async function run(terminal: Terminal, options: RunOptions): Promise<void> {
  const output = new Output(terminal, options.json);
  const config = effectiveConfig(options.data);
  const wanted = fleetOptions(options, PORTS.mqtt + config.ports.offset);
  const durationLimit =
    options.duration === undefined ? undefined : durationMs('--duration', options.duration);
  const trouble = tellTrouble((text) => output.note(text));
  const fleet = new Fleet({ ...wanted, onTrouble: (_device, message) => trouble(message) });
  const server =
    options.metrics === true
      ? await serveFleet(fleet, PORTS.fleetHttp + config.ports.offset, config.ports.host)
      : undefined;
  const live = terminal.err.isTTY === true;
  let limit: NodeJS.Timeout | undefined;
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
    if (durationLimit !== undefined) limit = setTimeout(resolve, durationLimit);
  });
  const began = performance.now();
  let before = { at: began, acknowledged: 0, sent: 0 };
  const report = setInterval(
    () => {
      const { figures } = fleet;
      const at = performance.now();
      const rate = ((figures.sent - before.sent) * 1000) / (at - before.at);
      before = { at, acknowledged: figures.acknowledged, sent: figures.sent };
      const text = describe(figures, rate);
      terminal.err.write(
        live ? `\r\u001b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${text}\n`,
      );
    },
    live ? REFRESH_MS : REPORT_MS,
  );
  fleet.start();
  await stopped;
  clearTimeout(limit);
  const tookMs = performance.now() - began;
  clearInterval(report);
  if (live) terminal.err.write('\r\u001b[2K');
  await fleet.stop();
  server?.closeAllConnections();
  server?.close();
  const { figures } = fleet;
  output.result({ ...figures, seconds: tookMs / 1000 }, () =>
    [
      `Fleet of ${figures.devices} devices, ${seconds(tookMs)}: ${describe(figures, (figures.sent * 1000) / tookMs)}.`,
      ...(figures.buffered === 0
        ? []
        : [`${number(figures.buffered)} readings were not acknowledged and are given up.`]),
    ].join('\n'),
  );
}

export function fleetCommand(terminal: Terminal): Command {
  const command = new Command('fleet').description('virtual devices, and load tests with them').addHelpText(
    'after',
    `
Examples:
  $ weir fleet run --devices 100 --duration 60s
  $ weir fleet load smoke`,
  );
  command
    .command('run')
    .description('run virtual devices until Ctrl-C or --duration')
    .option('--devices <n>', 'how many', '200')
    .option('--rate <n>', 'publishes a second of each device', '1')
    .option('--qos <level>', '0, 1 or 2', '1')
    .option('--duration <time>', 'stop after this time, for example 90s or 5m')
    .option('--host <host>', 'address of the edge', '127.0.0.1')
    .option('--port <port>', 'MQTT port of the edge (default: of this machine)')
    .option('--site <name>', 'devices belong to <name>-1, <name>-2 and so on', 'site')
    .option('--sites <n>', 'number of sites', '4')
    .option('--prefix <name>', 'devices are called <name>-0001 and so on', 'device')
    .option('--buffer <n>', 'readings a device keeps while the edge is away; then the oldest go', '600')
    .option('--window <n>', 'readings of a device waiting for their acknowledgement at a time', '20')
    .option('--seed <n>', 'the same seed gives the same values', '1')
    .option('--state <file>', 'where sequence numbers are kept (default: in the data folder, by prefix)')
    .option('--secrets <file>', 'JSON lines with "device" and "secret", as `weir device add --json` prints')
    .option('--demo', 'one more device: plant-1/machine-1, which replays a recorded machine failure')
    .option('--metrics', 'serve /metrics on the port of the fleet')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print the final figures as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir fleet run --devices 1000 --rate 2 --duration 60s
  $ weir fleet run --devices 50 --qos 2 --prefix probe --seed 42 --json

A device buffers while the edge is away, backs off with full jitter, and sends what was not acknowledged
again with the same ts and seq. Sequence numbers never repeat, also after kill -9.`,
    )
    .action((options: RunOptions) => run(terminal, options));
  for (const make of [loadCommand, compareCommand, capacityCommand]) command.addCommand(make(terminal));
  return command;
}
