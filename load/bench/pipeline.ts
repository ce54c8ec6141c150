import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { NativeStack, type OnProgress, SERVER_NAMES, type ServerName } from '@weir/infra';
import { APP_PORTS, type AppName, appArguments, appVariables, PORTS } from '@weir/topology';
import type { Roots } from './proc.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
const READY_MS = 60_000;
const STOP_MS = 20_000;

/** Everything that carries a reading. */
export const CARRIERS = ['edge', 'aggregator', 'archiver', 'alerter'] as const satisfies readonly AppName[];

/** Servers and apps of a benchmark, and what it needs to know about them. */
export interface Pipeline {
  readonly env: Readonly<Record<string, string>>;
  readonly portOffset: number;
  /** Its apps. */
  readonly clients: Roots;
  readonly servers: Roots;
  /** Folder of the servers' data; undefined when the servers are someone else's. */
  readonly serverData: string | undefined;
  url(app: AppName): string;
  stop(): Promise<void>;
}

export interface PipelineOptions {
  readonly dataDir: string;
  /** stack.json of servers that run already and that nobody else uses; own servers when absent. */
  readonly stackFile: string | undefined;
  readonly portOffset: number;
  /** Configuration of the apps; load/bench/weir.yaml when absent. */
  readonly configFile?: string;
  /** Those that carry a reading when absent. */
  readonly apps?: readonly AppName[];
  /** Write a CPU profile of each app into the folder of the logs when it ends. */
  readonly profile: boolean;
  readonly say: (text: string) => void;
}

/** Running servers, and how to end them. */
export interface Servers {
  readonly env: Readonly<Record<string, string>>;
  readonly portOffset: number;
  readonly pids: Roots;
  stop(): Promise<void>;
}

type ServerOptions = Pick<PipelineOptions, 'dataDir' | 'stackFile' | 'portOffset' | 'say'> & {
  /** All of them when absent. */
  readonly servers?: readonly ServerName[];
};

/** Says what begins and what is noteworthy. */
export const progressTo =
  (say: (text: string) => void): OnProgress =>
  ({ state, what, line }) => {
    if (state === 'started') say(`${what} ...`);
    else if (state === 'note' && line !== undefined) say(line);
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
    onProgress: progressTo(say),
  });
  await stack.start();
  const pids = servers.flatMap((name) => {
    const pid = stack.pid(name);
    return pid === undefined ? [] : [[name, pid] as const];
  });
  return { env: stack.env, portOffset, pids: new Map(pids), stop: () => stack.stop() };
}

/** A program whose output goes to a file of its name in the folder `logs`. */
export function launch(
  name: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  logs: string,
): ChildProcess {
  mkdirSync(logs, { recursive: true });
  const log = openSync(join(logs, `${name}.log`), 'a');
  // The kernel ends it when the benchmark dies, however that happens.
  const words = ['--pdeathsig', 'KILL', ...command];
  const child = spawn('setpriv', words, { cwd: ROOT, env, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  return child;
}

/** An app as `weir up` runs it; with `profile` it leaves a CPU profile beside its log. */
export function launchApp(
  app: AppName,
  env: NodeJS.ProcessEnv,
  logs: string,
  profile: boolean,
): ChildProcess {
  const words = profile ? ['--cpu-prof', `--cpu-prof-dir=${logs}`, `--cpu-prof-name=${app}.cpuprofile`] : [];
  return launch(
    app,
    [process.execPath, ...words, ...appArguments(app)],
    { ...env, ...appVariables(app) },
    logs,
  );
}

/** Those that run. */
export const rootsOf = (children: ReadonlyMap<string, ChildProcess>): Roots =>
  new Map([...children].flatMap(([name, { pid }]) => (pid === undefined ? [] : [[name, pid] as const])));

export const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function applyTopology(env: NodeJS.ProcessEnv, logs: string): Promise<void> {
  const command = [process.execPath, join(ROOT, 'apps/cli/src/main.ts'), 'topology', 'apply'];
  const child = launch('topology', command, env, logs);
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

/** Brings up servers and apps. */
export async function openPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { dataDir, say, apps = CARRIERS } = options;
  const logs = join(dataDir, 'logs');
  const servers = await openServers(options);
  const children = new Map<AppName, ChildProcess>();
  const stop = async (): Promise<void> => {
    await stopAll(children);
    await servers.stop();
  };
  const url = (app: AppName): string => `http://127.0.0.1:${PORTS[APP_PORTS[app]] + servers.portOffset}`;
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
    for (const app of apps) children.set(app, launchApp(app, env, logs, options.profile));
    await Promise.all([...children].map(([app, child]) => untilReady(app, child, url(app), logs)));
    return {
      env: Object.fromEntries(
        Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
      portOffset: servers.portOffset,
      clients: rootsOf(children),
      servers: servers.pids,
      serverData: options.stackFile === undefined ? join(dataDir, 'servers') : undefined,
      url,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
