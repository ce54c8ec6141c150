import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { WeirError } from '@weir/flow';
import { childrenOf, identify, type ProcessId } from './proc.ts';
import { run } from './run.ts';

/** How one server is run: the program and the private file tree that it sees. */
export interface Launch {
  /** Debian root folder to run in, mounted read-only; the machine's own tree when absent. */
  readonly root?: string;
  /** Folders and files of the data folder that replace paths of the tree: [source, path inside]. */
  readonly binds?: readonly (readonly [string, string])[];
  /** Folders made in the tree's fresh /run: [path, owner]. */
  readonly runFolders?: readonly (readonly [string, Account])[];
  readonly account?: Account;
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly [string, ...string[]];
}
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface Launched {
  /** The outer helper; ends when the server ends. */
  readonly wrapper: ChildProcess;
  readonly wrapperId: ProcessId;
  /** Resolves to the server's own process once it exists; undefined when it ended before. */
  readonly server: () => ProcessId | undefined;
}

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * The script that the namespace's first process runs before it becomes the server. All mounts belong to the
 * namespace and vanish with its last process, so none can be left behind.
 */
export function namespaceScript(launch: Launch): string {
  const { root, account } = launch;
  const lines = ['set -e', 'umask 022', 'ulimit -n "$(ulimit -H -n)"'];
  const variables = Object.entries(launch.env).map(([name, value]) => quote(`${name}=${value}`));
  // Changing the user clears the death signal that `unshare --kill-child` asked for, so it is asked for again.
  const user = account
    ? ['--reuid', account.uid, '--regid', account.gid, '--clear-groups', '--no-new-privs']
    : [];
  const become = ['setpriv', ...user, '--pdeathsig', 'KILL', 'env', '-i', ...variables].join(' ');
  const command = launch.command.map(quote).join(' ');
  if (root === undefined) {
    lines.push('mount -t proc proc /proc', `exec ${become} ${command}`);
    return lines.join('\n');
  }
  const inside = (path: string): string => quote(`${root}${path}`);
  lines.push(
    `mount --bind ${quote(root)} ${quote(root)}`,
    `mount -o remount,bind,ro ${quote(root)}`,
    `mount -t proc proc ${inside('/proc')}`,
    `mount --rbind /dev ${inside('/dev')}`,
    // PostgreSQL keeps its shared memory here; a tmpfs of its own cannot clash with another stack's.
    `mount -t tmpfs -o mode=1777 tmpfs ${inside('/dev/shm')}`,
    `mount -t tmpfs -o mode=0755 tmpfs ${inside('/run')}`,
    `mount -t tmpfs -o mode=1777 tmpfs ${inside('/tmp')}`,
  );
  for (const [path, owner] of launch.runFolders ?? []) {
    lines.push(`mkdir -p ${inside(path)}`, `chown ${owner.uid}:${owner.gid} ${inside(path)}`);
  }
  for (const [source, path] of launch.binds ?? [])
    lines.push(`mount --bind ${quote(source)} ${inside(path)}`);
  lines.push(`exec chroot ${quote(root)} ${become} ${command}`);
  return lines.join('\n');
}

const NAMESPACE = ['unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', 'sh', '-c'] as const;
const DIE_WITH_PARENT = ['setpriv', '--pdeathsig', 'KILL'] as const;

const LOG_LIMIT = 16 << 20;

/** Opens a server's log for appending; one older log of at most the limit's size or one run is kept. */
function openLog(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && statSync(path).size > LOG_LIMIT) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

export interface LaunchOptions {
  readonly logFile: string;
  /** Supervised: the server dies with this process, however that ends. Detached: it goes on. */
  readonly supervised: boolean;
}

/** Starts a server as the first process of its own mount and process namespaces. */
export function launchServer(launch: Launch, options: LaunchOptions): Launched {
  const log = openLog(options.logFile);
  const command = [...NAMESPACE, namespaceScript(launch)];
  const [program, ...args] = options.supervised ? [...DIE_WITH_PARENT, ...command] : command;
  try {
    const wrapper = spawn(program as string, args, {
      // A session of its own: Ctrl-C on the terminal reaches the starter only, which stops the servers in order.
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
    });
    wrapper.on('error', () => {}); // Seen as a missing process by whoever waits for it.
    if (!options.supervised) wrapper.unref();
    const wrapperId = wrapper.pid === undefined ? undefined : identify(wrapper.pid);
    return {
      wrapper,
      wrapperId: wrapperId ?? { pid: wrapper.pid ?? -1, startTime: -1, boot: '' },
      server: () => serverOf(wrapper.pid),
    };
  } finally {
    closeSync(log);
  }
}

function serverOf(wrapper: number | undefined): ProcessId | undefined {
  if (wrapper === undefined) return undefined;
  const [child] = childrenOf(wrapper);
  return child === undefined ? undefined : identify(child);
}

/**
 * A tool in namespaces of its own, which die with it and with this process: an interrupted tool that mounts folders
 * (mmdebstrap) would otherwise leave them on the machine, where removing its folder would reach into them.
 */
export function confined(program: string, args: readonly string[]): { program: string; args: string[] } {
  const [first, ...rest] = [
    ...DIE_WITH_PARENT,
    'unshare',
    '--mount',
    '--pid',
    '--mount-proc',
    '--fork',
    '--kill-child=KILL',
  ];
  return { program: first as string, args: [...rest, program, ...args] };
}

/** Runs `launch` to its end as a preparation step (initdb, formatting); the caller passes the result to `run`. */
export function oneShot(launch: Launch): { program: string; args: string[] } {
  const [program, ...args] = [...DIE_WITH_PARENT, ...NAMESPACE, namespaceScript(launch)];
  return { program, args };
}

/** @throws WeirError WEIR_TOOL_MISSING where even root may not make namespaces (inside most containers). */
export async function requireNamespaces(): Promise<void> {
  await run('unshare', ['--mount', '--pid', '--fork', 'true'], { what: '', wayOut: '' }).catch(
    (error: unknown) => {
      throw new WeirError(
        'WEIR_TOOL_MISSING',
        'fatal',
        'This machine does not let root make private mounts and process namespaces (inside a container it needs ' +
          '--privileged). Run the servers with `docker compose up` instead.',
        error,
      );
    },
  );
}
