import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Database, migrate, openDatabase } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { kafkaTopology, LEVELS, PORTS, TABLES } from '@weir/topology';
import { fillBacklog } from './backlog.ts';
import { launchApp, openServers, ROOT, type Servers, stopAll, untilReady } from './pipeline.ts';
import { CpuMeter, microsecondsEach, peakMemory } from './proc.ts';
import { type Machine, machine, median, round, saveResult } from './report.ts';
import { scrape, sumOf } from './scrape.ts';

export interface DrainOptions {
  readonly dataDir: string;
  readonly portOffset: number;
  readonly series: number;
  readonly seconds: number;
  readonly runs: number;
  readonly profile: boolean;
  readonly json: boolean;
  readonly save: boolean;
  readonly say: (text: string) => void;
}

interface Run {
  readonly readingsPerSecond: number;
  /** µs of CPU per reading, by process with its children. */
  readonly cpuMicroseconds: Readonly<Record<string, number>>;
  readonly cpuForeign: number;
  readonly peakRssMiB: number;
  readonly lost: number;
}

interface DrainResult {
  readonly date: string;
  readonly machine: Machine;
  readonly series: number;
  readonly readings: number;
  readonly runs: readonly Run[];
  readonly median: Omit<Run, 'lost'>;
}

const DEADLINE_MS = 900_000;
const POLL_MS = 50;

/** The aggregator alone, from a full Kafka to committed rows; the same backlog several times. Exit code. */
export async function drain(options: DrainOptions): Promise<number> {
  const { dataDir, portOffset, series, seconds, say } = options;
  const servers = await openServers({
    dataDir,
    stackFile: undefined,
    portOffset,
    servers: ['kafka', 'timescale'],
    say,
  });
  try {
    const env = { ...process.env, ...servers.env, WEIR_CONFIG: join(ROOT, 'load/bench/weir.yaml') };
    await migrate(servers.env.WEIR_TIMESCALE__URL ?? '', join(ROOT, 'infra/migrations'));
    say(`Filling Kafka: ${series} series, ${seconds} s at 1 Hz ...`);
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    const readings = await fillBacklog({
      brokers: (servers.env.WEIR_KAFKA__BROKERS ?? '').split(','),
      topology: kafkaTopology(servers.env.WEIR_NAMESPACE),
      series,
      seconds,
      from: now - seconds * 1_000,
      say,
    });
    const runs: Run[] = [];
    for (let i = 0; i < options.runs; i++) {
      runs.push(await once(options, servers, env, readings));
      say(`Run ${i + 1}: ${round(runs[i]?.readingsPerSecond ?? 0, 0)} readings/s.`);
    }
    const result: DrainResult = {
      date: new Date().toISOString(),
      machine: machine(),
      series,
      readings,
      runs,
      median: {
        readingsPerSecond: median(runs.map((run) => run.readingsPerSecond)),
        cpuMicroseconds: Object.fromEntries(
          ['aggregator', 'timescale', 'kafka'].map((name) => [
            name,
            median(runs.map((run) => run.cpuMicroseconds[name] ?? 0)),
          ]),
        ),
        cpuForeign: median(runs.map((run) => run.cpuForeign)),
        peakRssMiB: Math.max(...runs.map((run) => run.peakRssMiB)),
      },
    };
    process.stdout.write(`${options.json ? JSON.stringify(result) : renderDrain(result)}\n`);
    if (options.save) say(`Written to ${saveResult(result, `drain-${series}`)}.`);
    return runs.some(({ lost }) => lost !== 0) ? 1 : 0;
  } finally {
    say('Stopping ...');
    await servers.stop();
  }
}

async function once(
  { dataDir, portOffset, profile, say }: DrainOptions,
  servers: Servers,
  env: NodeJS.ProcessEnv,
  readings: number,
): Promise<Run> {
  const log = createLogger({ app: 'bench', level: 'silent', format: 'json' });
  const database = openDatabase({ url: servers.env.WEIR_TIMESCALE__URL ?? '', log, poolSize: 1 });
  const tables = [...LEVELS.map(({ table }) => table), ...Object.values(TABLES)];
  await database.query('emptying the tables', `TRUNCATE ${tables.join(', ')}`);
  const logs = join(dataDir, 'logs');
  const child = launchApp('aggregator', env, logs, profile);
  try {
    const url = `http://127.0.0.1:${PORTS.aggregatorHttp + portOffset}`;
    await untilReady('aggregator', child, url, logs);
    const clients = new Map([['aggregator', child.pid ?? 0]]);
    let last = 0;
    const stored = async (): Promise<number> => {
      // It does not answer while it makes the keys of very many series: asked again until the deadline.
      const samples = await scrape(url).catch(() => null);
      if (samples !== null)
        last = sumOf(samples, 'weir_ledger_readings_total', 'hop="aggregator"', 'outcome="stored"');
      return last;
    };
    // The start is no part of it: from the first commit on.
    const first = await until(stored, (count) => count > 0);
    const begin = Date.now();
    const meter = new CpuMeter(new Map([...servers.pids, ...clients]));
    const deadline = Date.now() + DEADLINE_MS;
    for (let told = Date.now(), count = first; count < readings; count = await stored()) {
      if (Date.now() > deadline)
        throw new WeirError('WEIR_TIMEOUT', 'fatal', `only ${count} of ${readings} readings are stored`);
      if (Date.now() - told > 2_000) {
        told = Date.now();
        say(`  ${count} of ${readings} readings in windows`);
      }
      await delay(POLL_MS);
    }
    const end = Date.now();
    const cpu = meter.read();
    const measured = readings - first;
    return {
      readingsPerSecond: (measured * 1_000) / (end - begin),
      cpuMicroseconds: microsecondsEach(cpu, measured),
      cpuForeign: cpu.foreign,
      peakRssMiB: peakMemory(clients).aggregator ?? 0,
      lost: readings - (await countStored(database)),
    };
  } finally {
    await stopAll(new Map([['aggregator', child]]));
    await database.close();
  }
}

async function until(read: () => Promise<number>, done: (value: number) => boolean): Promise<number> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const value = await read();
    if (done(value)) return value;
    if (Date.now() > deadline)
      throw new WeirError('WEIR_TIMEOUT', 'fatal', 'the aggregator committed nothing within 60 s');
    await delay(POLL_MS);
  }
}

async function countStored(database: Database): Promise<number> {
  const [row] = await database.query<{ count: string }>(
    'counting the readings in windows',
    'SELECT sum(count) AS count FROM windows_1s',
  );
  return Number(row?.count ?? 0);
}

function renderDrain({ series, readings, runs, median: middle }: DrainResult): string {
  const cpu = Object.entries(middle.cpuMicroseconds).map(([name, us]) => `${name} ${round(us, 2)}`);
  return [
    `drain: ${round(readings, 0)} readings of ${round(series, 0)} series at 1 Hz, Kafka → TimescaleDB; median of ${runs.length}`,
    `  readings/s      ${round(middle.readingsPerSecond, 0)} (${runs.map((run) => round(run.readingsPerSecond, 0)).join(', ')})`,
    `  CPU µs/reading  ${cpu.join(', ')}`,
    `  aggregator      ${round(middle.peakRssMiB, 0)} MiB resident at most`,
    `  machine         ${round(middle.cpuForeign * 100, 0)} % of the busy time were other programs`,
    `  lost            ${runs.reduce((sum, run) => sum + run.lost, 0)}`,
  ].join('\n');
}
