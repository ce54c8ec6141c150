import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { NativeStack, SERVER_NAMES, type ServerName } from '@weir/infra';
import { APP_PORTS, type AppName, appArguments, PORTS } from '@weir/topology';

export const ROOT = resolve(import.meta.dirname, '../..');
const READY_MS = 60_000;
const STOP_MS = 20_000;

/** Everything that carries a reading. */
const CARRIERS = ['edge', 'aggregator', 'archiver', 'alerter'] as const satisfies readonly AppName[];
type BenchApp = (typeof CARRIERS)[number] | 'gateway';

/** Servers and apps of a benchmark, and what it needs to know about them. */
export interface Pipeline {
  readonly env: Readonly<Record<string, string>>;
  readonly portOffset: number;
  /** Root processes by name, for their CPU time. */
  readonly processes: ReadonlyMap<string, number>;
  /** Folder of the servers' data; undefined when the servers are someone else's. */
  readonly serverData: string | undefined;
  url(app: BenchApp): string;
  stop(): Promise<void>;
}

export interface PipelineOptions {
  readonly dataDir: string;
  /** stack.json of servers that run already and that nobody else uses; own servers when absent. */
  readonly stackFile: string | undefined;
  readonly portOffset: number;
  /** Configuration of the apps; load/bench/weir.yaml when absent. */
  readonly configFile?: string;
  /** Start the gateway too. */
  readonly gateway?: boolean;
  /** Write a CPU profile of each app into the folder of the logs when it ends. */
  readonly profile: boolean;
  readonly say: (text: string) => void;
}

/** Running servers, and how to end them. */
export interface Servers {
  readonly env: Readonly<Record<string, string>>;
  readonly portOffset: number;
  readonly pids: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

type ServerOptions = Pick<PipelineOptions, 'dataDir' | 'stackFile' | 'portOffset' | 'say'> & {
  /** All of them when absent. */
  readonly servers?: readonly ServerName[];
};

export async function openServers(options: ServerOptions): Promise<Servers> {
  const { dataDir, stackFile, portOffset, say, servers = SERVER_NAMES } = options;
  if (stackFile !== undefined) {
    const stack = JSON.parse(readFileSync(stackFile, 'utf8')) as {
      readonly env: Record<string, string>;
      readonly portOffset: number;
      readonly pids: Record<string, number>;
    };
    return {
      env: stack.env,
      portOffset: stack.portOffset,
      pids: new Map(Object.entries(stack.pids)),
      stop: async () => {},
    };
  }
  say('Starting servers of its own ...');
  const stack = new NativeStack({
    dataDir: join(dataDir, 'servers'),
    portOffset,
    servers,
    onProgress: ({ state, what, line }) => {
      if (state === 'started') say(`${what} ...`);
      else if (state === 'note' && line !== undefined) say(line);
    },
  });
  await stack.start();
  const pids = servers.flatMap((name) => {
    const pid = stack.pid(name);
    return pid === undefined ? [] : [[name, pid] as const];
  });
  return { env: stack.env, portOffset, pids: new Map(pids), stop: () => stack.stop() };
}

export function launch(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  logs: string,
): ChildProcess {
  mkdirSync(logs, { recursive: true });
  const log = openSync(join(logs, `${name}.log`), 'a');
  // The kernel ends the app when the benchmark dies, however that happens.
  const words = ['--pdeathsig', 'KILL', process.execPath, ...args];
  const child = spawn('setpriv', words, { cwd: ROOT, env, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  return child;
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function applyTopology(env: NodeJS.ProcessEnv, logs: string): Promise<void> {
  const child = launch('topology', [join(ROOT, 'apps/cli/src/main.ts'), 'topology', 'apply'], env, logs);
  while (!ended(child)) await delay(50);
  if (child.exitCode === 0) return;
  const log = readFileSync(join(logs, 'topology.log'), 'utf8');
  throw new WeirError('WEIR_STATE', 'fatal', `Creating topics, queues, schema and bucket failed:\n${log}`);
}

export async function untilReady(
  name: string,
  child: ChildProcess,
  url: string,
  logs: string,
): Promise<void> {
  const deadline = Date.now() + READY_MS;
  let last = 'no answer';
  for (;;) {
    try {
      const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
      last = await response.text();
      if (response.ok) return;
    } catch {
      // It does not listen yet.
    }
    if (ended(child) || Date.now() > deadline) {
      const log = join(logs, `${name}.log`);
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `The ${name} ${ended(child) ? 'ended while starting' : `is not ready: ${last}`}. Its log is ${log}.`,
      );
    }
    await delay(100);
  }
}

export async function stopAll(children: ReadonlyMap<string, ChildProcess>): Promise<void> {
  for (const child of children.values()) if (!ended(child)) child.kill('SIGTERM');
  const deadline = Date.now() + STOP_MS;
  while ([...children.values()].some((child) => !ended(child))) {
    if (Date.now() > deadline)
      for (const child of children.values()) if (!ended(child)) child.kill('SIGKILL');
    await delay(20);
  }
}

/** Brings up everything that carries a reading, and the gateway only when it is asked for. */
export async function openPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { dataDir, say } = options;
  const logs = join(dataDir, 'logs');
  const servers = await openServers(options);
  const children = new Map<BenchApp, ChildProcess>();
  const stop = async (): Promise<void> => {
    await stopAll(children);
    await servers.stop();
  };
  const url = (app: BenchApp): string => `http://127.0.0.1:${PORTS[APP_PORTS[app]] + servers.portOffset}`;
  try {
    const env = {
      ...process.env,
      ...servers.env,
      ...(options.stackFile === undefined ? {} : { WEIR_NAMESPACE: `bench-${Date.now().toString(36)}` }),
      WEIR_CONFIG: options.configFile ?? join(ROOT, 'load/bench/weir.yaml'),
      WEIR_EDGE__DIR: join(dataDir, 'edge'),
      WEIR_EDGE__SPOOL__DIR: join(dataDir, 'edge', 'spool'),
    };
    say('Creating topics, queues, schema and bucket ...');
    await applyTopology(env, logs);
    say('Starting the apps ...');
    const profile = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${logs}`] : [];
    for (const app of options.gateway === true ? ([...CARRIERS, 'gateway'] as const) : CARRIERS) {
      const name = profile.length === 0 ? [] : [`--cpu-prof-name=${app}.cpuprofile`];
      children.set(app, launch(app, [...profile, ...name, ...appArguments(app)], env, logs));
    }
    await Promise.all([...children].map(([app, child]) => untilReady(app, child, url(app), logs)));
    const processes = new Map<string, number>();
    for (const [app, child] of children) if (child.pid !== undefined) processes.set(app, child.pid);
    for (const [name, pid] of servers.pids) processes.set(name, pid);
    return {
      env: Object.fromEntries(
        Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
      portOffset: servers.portOffset,
      processes,
      serverData: options.stackFile === undefined ? join(dataDir, 'servers') : undefined,
      url,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
