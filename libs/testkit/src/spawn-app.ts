import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { APP_PORTS, type AppName, appArguments, appVariables, PORTS } from '@weir/topology';

import { atEnd, type Scope } from './scope.ts';
import { CHECKOUT } from './stack.ts';
import { until } from './until.ts';

const READY_MS = 30_000;
/** An app promises to drain within 15 s. */
const STOP_MS = 20_000;
/** Longest wait for the last lines of a process that has ended. */
const LAST_WORDS_MS = 1_000;
const KEPT_LINES = 5_000;
const SHOWN_LINES = 60;

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnedApp {
  readonly name: AppName;
  readonly pid: number;
  /** Address of the app's admin paths (`/readyz`, `/metrics`) and of what else it serves there. */
  readonly url: string;
  /** Everything it logged, oldest first (the last 5,000 lines, restarts included). */
  readonly logs: readonly string[];
  /** Sends a signal; resolves when the process is gone for SIGKILL, at once for any other. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, then the exit status; throws when the app has not ended after 20 s. */
  stop(): Promise<ExitStatus>;
  /** Resolves when the process has ended, however that happened, and all that it said is in `logs`. */
  exited(): Promise<ExitStatus>;
  /** Starts it again after it ended, with the same environment plus `env`, and waits for `/readyz`. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  /** Resolves when `/readyz` says yes. */
  ready(deadlineMs?: number): Promise<void>;
  /** The text of `/metrics`. */
  metrics(): Promise<string>;
}

export interface SpawnOptions {
  /** false: return without waiting for `/readyz` (its servers are away). */
  readonly waitReady?: boolean;
  readonly readyMs?: number;
}

/**
 * Runs `apps/<name>/src/main.ts` as a process of its own, ready to be used. It is killed when the scope ends; its
 * last lines are printed when the test failed.
 */
export async function spawnApp(
  scope: Scope,
  name: AppName,
  env: Readonly<Record<string, string>>,
  options: SpawnOptions = {},
): Promise<SpawnedApp> {
  const logs: string[] = [];
  let environment = env;
  let { child, closed } = launch(name, environment, logs);
  const url = `http://127.0.0.1:${PORTS[APP_PORTS[name]] + Number(env.WEIR_PORTS__OFFSET ?? 0)}`;

  const running = () => child.exitCode === null && child.signalCode === null;
  const status = (): ExitStatus => ({ code: child.exitCode, signal: child.signalCode });
  const tail = () => logs.slice(-SHOWN_LINES).join('\n');

  const app: SpawnedApp = {
    name,
    url,
    logs,
    get pid() {
      return child.pid ?? -1;
    },
    async exited() {
      if (running()) await once(child, 'exit');
      await Promise.race([closed, delay(LAST_WORDS_MS)]);
      return status();
    },
    async kill(signal) {
      if (!running()) throw new WeirError('WEIR_STATE', 'fatal', `${name} has ended already.\n${tail()}`);
      child.kill(signal);
      if (signal === 'SIGKILL') await app.exited();
    },
    async stop() {
      if (!running()) return app.exited();
      child.kill('SIGTERM');
      await until(() => !running(), { deadlineMs: STOP_MS, what: `${name} to end after SIGTERM` }).catch(
        (error) => {
          throw new WeirError('WEIR_TIMEOUT', 'fatal', `${(error as Error).message}\n${tail()}`, error);
        },
      );
      return app.exited();
    },
    async restart(more = {}) {
      if (running()) throw new WeirError('WEIR_STATE', 'fatal', `${name} still runs: stop or kill it first.`);
      environment = { ...environment, ...more };
      logs.push(`--- ${name} starts again`);
      ({ child, closed } = launch(name, environment, logs));
      await app.ready();
    },
    async ready(deadlineMs = options.readyMs ?? READY_MS) {
      let last = 'no answer';
      const answered = async () => {
        if (!running()) return true;
        const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
        last = await response.text();
        return response.ok;
      };
      const failure = await until(answered, { deadlineMs, what: 'ready' }).then(
        () => undefined,
        (error: Error) => error,
      );
      if (failure === undefined && running()) return;
      if (!running()) await app.exited();
      const how = running()
        ? `is not ready after ${deadlineMs} ms: ${last}`
        : `ended: ${JSON.stringify(status())}`;
      throw new WeirError('WEIR_TIMEOUT', 'fatal', `${name} ${how}\n${tail()}`, failure);
    },
    async metrics() {
      const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5_000) });
      return response.text();
    },
  };
  atEnd(scope, async () => {
    if (running()) {
      child.kill('SIGKILL');
      await app.exited();
    }
    if (scope.passed === false) process.stderr.write(`--- last lines of ${name}\n${tail()}\n---\n`);
  });
  if (options.waitReady !== false) await app.ready();
  return app;
}

interface Launched {
  readonly child: ChildProcess;
  /** Resolves when its last line is among the logs; a process that it started may hold them open beyond its end. */
  readonly closed: Promise<void>;
}

function launch(name: AppName, env: Readonly<Record<string, string>>, logs: string[]): Launched {
  // Only what the test gives and what a program needs to run: a WEIR_ variable of the caller must not leak in.
  const own = Object.entries(process.env).filter(
    ([key]) => !key.startsWith('WEIR_') && key !== 'NODE_TEST_CONTEXT',
  );
  const child = spawn(process.execPath, appArguments(name), {
    cwd: CHECKOUT,
    env: { ...Object.fromEntries(own), LOG_LEVEL: 'info', ...appVariables(name), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      logs.push(...lines);
      if (logs.length > KEPT_LINES) logs.splice(0, logs.length - KEPT_LINES);
    });
  }
  return { child, closed: new Promise((resolve) => child.once('close', () => resolve())) };
}
