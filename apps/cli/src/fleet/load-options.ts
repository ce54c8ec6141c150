import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type FleetRunOptions,
  loadScenario,
  type Scenario,
  SINKS,
  type SinkName,
  scaled,
  workersFor,
} from '@weir/load';
import { PORTS } from '@weir/topology';
import type { Command } from 'commander';
import { durationMs, numberWithin, wholeWithin } from '../duration.ts';
import { dataFolder } from '../paths.ts';
import { effectiveConfig, quietLogger, usage } from '../settings.ts';
import { edgesOf, processesOf, targetOf } from './targets.ts';

/** Options that every command has which runs a scenario. */
export interface LoadOptions {
  readonly devices?: string;
  readonly rate?: string;
  readonly duration?: string;
  readonly seed?: string;
  readonly edge?: string[];
  readonly workers?: string;
  readonly sinks: string;
  readonly threshold?: string[];
  readonly settle: string;
  readonly secrets?: string;
  readonly gateway?: string;
  readonly data?: string;
}

const several = (value: string, before: string[] = []): string[] => [...before, value];

export const addLoadOptions = (command: Command): Command =>
  command
    .option('--devices <n>', 'devices of all classes together (default: as the scenario says)')
    .option('--rate <factor>', 'factor of all rates of the scenario')
    .option('--duration <time>', 'length of the schedule, for example 90s or 10m')
    .option('--seed <n>', 'another schedule of the same scenario')
    .option(
      '--edge <host:port>',
      'edge of this machine; may stand several times (default: those of `weir up`)',
      several,
    )
    .option('--workers <n>', 'sending processes (default: one for each 15,000 connections)')
    .option('--sinks <list>', `far ends to read: ${SINKS.join(', ')}, or none`, SINKS.join(','))
    .option('--threshold <text>', "'ack.p99 < 100ms', 'lost == 0'; may stand several times", several)
    .option('--settle <time>', 'how long windows and archive have after the end', '2m')
    .option('--secrets <file>', 'JSON lines with "device" and "secret"')
    .option('--gateway <url>', 'address of the gateway (default: of this machine)')
    .option('--data <dir>', 'data folder of `weir up`');

/** `weir device add --json`, one line for each device. */
export function secretsFrom(file: string): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const { device, secret } = JSON.parse(line) as { device?: unknown; secret?: unknown };
    if (typeof device !== 'string' || typeof secret !== 'string')
      throw usage(`Reading ${file}: line ${i + 1} needs "device" and "secret".`);
    secrets.set(device, secret);
  }
  return secrets;
}

export function scenarioOf(name: string, options: LoadOptions): Scenario {
  const { devices, rate, duration, seed } = options;
  return scaled(loadScenario(name), {
    devices: devices === undefined ? undefined : wholeWithin('--devices', devices, 1, 1_000_000),
    rate: rate === undefined ? undefined : numberWithin('--rate', rate, 0.001, 10_000),
    duration: duration === undefined ? undefined : durationMs('--duration', duration),
    seed: seed === undefined ? undefined : wholeWithin('--seed', seed, 0, 2 ** 32 - 1),
  });
}

function sinksOf(text: string): SinkName[] {
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const sink = SINKS.find((one) => one === name.trim());
    if (sink === undefined) throw usage(`--sinks takes ${SINKS.join(', ')} or none; got "${name}".`);
    return sink;
  });
}

export type RunSettings = Omit<FleetRunOptions, 'signal' | 'onSecond' | 'onStage' | 'onTrouble'>;

/** Everything of a run but how it is shown. */
export function runSettings(scenario: Scenario, options: LoadOptions): RunSettings {
  const config = effectiveConfig(options.data);
  const folder = dataFolder(options.data);
  const targets = options.edge?.map(targetOf) ?? edgesOf(folder, config);
  const workers =
    options.workers === undefined ? workersFor(scenario) : wholeWithin('--workers', options.workers, 1, 64);
  return {
    scenario,
    // A name that no other run has: what is found under it is of this one.
    place: { site: `fleet-${randomBytes(4).toString('hex')}`, targets, workers },
    config,
    gatewayUrl: options.gateway ?? `http://127.0.0.1:${PORTS.gateway + config.ports.offset}`,
    sinks: sinksOf(options.sinks),
    thresholds: [...scenario.thresholds, ...(options.threshold ?? [])],
    secrets: options.secrets === undefined ? {} : Object.fromEntries(secretsFrom(options.secrets)),
    processes: processesOf(folder),
    settleMs: durationMs('--settle', options.settle),
    log: quietLogger(),
  };
}
