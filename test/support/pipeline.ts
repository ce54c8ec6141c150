import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT, type Isolated, isolated, type Scope, type SpawnedApp, spawnApp } from '@weir/testkit';
import type { AppName } from '@weir/topology';

const APPS = ['edge', 'aggregator', 'archiver', 'alerter'] as const satisfies readonly AppName[];

export interface Pipeline {
  readonly space: Isolated;
  readonly apps: Readonly<Record<(typeof APPS)[number], SpawnedApp>>;
  readonly mqttPort: number;
  readonly edgeUrl: string;
}

/** Settings that make a whole pipeline quick to observe; the behaviour under test does not depend on them. */
const QUICK = {
  WEIR_EDGE__ANONYMOUS: 'true',
  WEIR_ARCHIVER__OBJECT_AGE: '2s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};

/** The weir command with the test's environment, running. */
export function startWeir(env: Readonly<Record<string, string>>, ...args: string[]) {
  const run = promisify(execFile);
  return run(process.execPath, [join('apps', 'cli', 'src', 'main.ts'), ...args], {
    cwd: CHECKOUT,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    maxBuffer: 256 << 20,
  });
}

/** Runs the weir command with the test's environment and returns what it printed. */
export async function weir(env: Readonly<Record<string, string>>, ...args: string[]): Promise<string> {
  const { stdout } = await startWeir(env, ...args);
  return stdout;
}

/** Every app of Weir as a process of its own, in a namespace of its own, ready. */
export async function startPipeline(
  scope: Scope,
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly space?: Isolated;
    /** How long an app may take to be ready, milliseconds. */
    readonly readyMs?: number;
  } = {},
): Promise<Pipeline> {
  const own = options.space ?? (await isolated(scope));
  const space = { ...own, env: { ...own.env, ...QUICK, ...options.env } };
  await weir(space.env, 'topology', 'apply');
  const more = options.readyMs === undefined ? {} : { readyMs: options.readyMs };
  const started = await Promise.all(
    APPS.map(async (name) => [name, await spawnApp(scope, name, space.env, more)] as const),
  );
  return {
    space,
    apps: Object.fromEntries(started) as Pipeline['apps'],
    mqttPort: 1883 + space.portOffset,
    edgeUrl: `http://127.0.0.1:${8081 + space.portOffset}`,
  };
}
