import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { WeirError } from '@weir/flow';
import { composeEnvironment, NativeStack } from '@weir/infra';
import { ROOT } from '../paths.ts';
import type { Progress } from '../progress.ts';
import type { Servers } from './native-servers.ts';
import type { ServerLine } from './view.ts';

const SERVICES = ['kafka', 'rabbitmq', 'timescale', 'minio', 'redis'] as const;
const ENGINE_DEADLINE_MS = 5_000;

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

function docker(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onLine: (line: string) => void = () => {},
  timeoutMs = 0,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn('docker', args, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        onLine(chunk.trim().split('\n').at(-1) ?? '');
      });
    }
    child.once('error', (error) => resolve({ code: null, text: error.message }));
    child.once('close', (code) => resolve({ code, text }));
  });
}

/** Whether a container engine answers; a docker client alone is not enough. */
export async function hasContainerEngine(): Promise<boolean> {
  const { code, text } = await docker(
    ['version', '--format', '{{.Server.Version}}'],
    process.env,
    undefined,
    ENGINE_DEADLINE_MS,
  );
  return code === 0 && text.trim() !== '';
}

export interface ContainerOptions {
  readonly dataDir: string;
  readonly portOffset: number;
  readonly progress: Progress;
}

/** The servers of docker-compose.yml, with the same ports and credentials as the native ones. */
export function containerServers({ dataDir, portOffset, progress }: ContainerOptions): Servers {
  const same = new NativeStack({ dataDir, portOffset });
  const env = { ...process.env, ...composeEnvironment(same.credentials, portOffset) };
  const compose = async (what: string, args: readonly string[]): Promise<string> => {
    const { code, text } = await progress.step(what, (detail) => docker(['compose', ...args], env, detail));
    if (code === 0) return text;
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `${what} failed (docker compose ${args.join(' ')}):\n${text.trimEnd()}`,
    );
  };
  return {
    kind: 'containers',
    env: same.env,
    async start() {
      await compose('Starting the servers in containers', ['up', '--detach', '--wait', ...SERVICES]);
      // Commands find the servers here, as they find native ones.
      writeFileSync(same.stackFile, JSON.stringify({ portOffset, dataDir, env: same.env }), { mode: 0o600 });
    },
    async restart(name) {
      await compose(`Starting ${name} again`, ['up', '--detach', '--wait', name]);
    },
    async stop() {
      await compose('Stopping the containers', ['stop', ...SERVICES]);
      rmSync(same.stackFile, { force: true });
    },
    async status() {
      const { text } = await docker(['compose', 'ps', '--all', '--format', 'json', ...SERVICES], env);
      return text.split('\n').filter(Boolean).map(lineOf);
    },
  };
}

function lineOf(json: string): ServerLine {
  const row = JSON.parse(json) as {
    Service: string;
    State: string;
    Health?: string;
    Publishers?: { PublishedPort: number }[];
  };
  const healthy = row.State === 'running' && (row.Health === undefined || /^(healthy)?$/.test(row.Health));
  return {
    name: row.Service,
    title: row.Service,
    state: healthy ? 'ready' : row.State === 'running' ? 'starting' : 'stopped',
    detail: healthy ? '' : (row.Health ?? ''),
    pid: null,
    ports: (row.Publishers ?? []).map(({ PublishedPort }) => PublishedPort).filter((port) => port > 0),
  };
}
