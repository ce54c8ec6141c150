import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { WeirError } from '@weir/flow';

export interface Lock {
  release(): Promise<void>;
}

export interface LockOptions {
  /** Longest wait for the lock; a waiter gives up with WEIR_STATE. */
  readonly waitMs: number;
  /** The sentence of that error, given the process number of the holder. */
  readonly busy: (holder: string) => string;
}

/**
 * A lock between processes, held by the kernel for a helper that ends with this process: a killed holder leaves
 * no stale lock behind. The file keeps the holder's process number, for the sentence only.
 */
export async function takeLock(path: string, options: LockOptions): Promise<Lock> {
  const seconds = (options.waitMs / 1000).toFixed(1);
  const helper = spawn('flock', ['-w', seconds, path, '-c', 'echo held; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true, // Ctrl-C on the terminal must not take the lock away before its holder has stopped.
  });
  helper.stdin.on('error', () => {});
  const held = await Promise.race([
    once(helper.stdout, 'data').then(() => true),
    once(helper, 'exit').then(() => false),
    once(helper, 'error').then(() => false),
  ]).catch((error: unknown) => {
    throw new WeirError(
      'WEIR_TOOL_MISSING',
      'fatal',
      'Taking a lock needs `flock` (Debian: apt-get install util-linux).',
      error,
    );
  });
  if (!held) throw new WeirError('WEIR_STATE', 'fatal', options.busy(holderOf(path)));
  writeFileSync(path, `${process.pid}\n`);
  helper.unref();
  return {
    async release() {
      if (helper.exitCode !== null || helper.signalCode !== null) return;
      helper.ref();
      const gone = once(helper, 'exit');
      helper.stdin.end();
      await gone;
    },
  };
}

function holderOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'unknown';
  } catch {
    return 'unknown';
  }
}
