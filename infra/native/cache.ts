import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { takeLock } from './lock.ts';
import { type OnProgress, run } from './run.ts';

/** Folder of everything that is built once per machine and version; safe to delete while no stack runs. */
export function cacheRoot(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir');
}

export interface Build {
  /** Name and version: the folder's name in the cache. A changed recipe needs a changed key. */
  readonly key: string;
  /** What is built, for people ("RabbitMQ, Redis and PostgreSQL (Debian trixie)"). */
  readonly what: string;
  readonly build: (folder: string, onLine: (line: string) => void) => Promise<void>;
}

const LOCK_WAIT_MS = 20 * 60_000;

export function isBuilt(key: string): boolean {
  return existsSync(join(cacheRoot(), key));
}

/**
 * Returns the folder of a build, making it first when it is not there. It appears whole or not at all: the work
 * goes on in a folder beside it, which is renamed at the end. A second provisioner waits for the first.
 */
export async function cached(build: Build, onProgress: OnProgress = () => {}): Promise<string> {
  const folder = join(cacheRoot(), build.key);
  if (existsSync(folder)) return folder;
  const begin = Date.now();
  const report = (state: 'started' | 'progress' | 'done', line?: string) =>
    onProgress({
      step: build.key,
      what: build.what,
      state,
      elapsedMs: Date.now() - begin,
      ...(line === undefined ? {} : { line }),
    });
  mkdirSync(cacheRoot(), { recursive: true });
  report('started');
  const lock = await takeLock(join(cacheRoot(), `${build.key}.lock`), {
    waitMs: LOCK_WAIT_MS,
    busy: (holder) =>
      `Process ${holder} has been building ${build.what} for 20 minutes: wait for it or end it.`,
  });
  try {
    if (!existsSync(folder)) {
      await removeLeftovers(build.key);
      const unfinished = join(cacheRoot(), `.${build.key}.${process.pid}`);
      mkdirSync(unfinished);
      try {
        await build.build(unfinished, (line) => report('progress', line));
        renameSync(unfinished, folder);
      } finally {
        await removeTree(unfinished);
      }
    }
  } finally {
    await lock.release();
  }
  report('done');
  return folder;
}

/** Under the lock nobody else builds this key, so whatever is unfinished was left by a killed run. */
async function removeLeftovers(key: string): Promise<void> {
  for (const name of readdirSync(cacheRoot())) {
    if (name.startsWith(`.${key}.`)) await removeTree(join(cacheRoot(), name));
  }
}

/** Mount points at or below a folder, the deepest first, from the text of `/proc/self/mounts`. */
export function mountsBelow(folder: string, mounts: string): string[] {
  return mounts
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length);
}

/** Removes a folder, but never through a mount: that would empty what is mounted there. */
async function removeTree(folder: string): Promise<void> {
  const mounts = existsSync('/proc/self/mounts') ? readFileSync('/proc/self/mounts', 'utf8') : '';
  for (const mount of mountsBelow(folder, mounts)) {
    await run('umount', [mount], {
      what: `Removing a stale mount in ${folder}`,
      wayOut: `Unmount it by hand (umount --lazy ${mount}), then start again.`,
    });
  }
  rmSync(folder, { recursive: true, force: true });
}
