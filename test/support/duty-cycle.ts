import { setTimeout as delay } from 'node:timers/promises';
import { statOf } from '@weir/infra';
import { atEnd, type Scope } from '@weir/testkit';

const PERIOD_MS = 250;
const LEAST_MS = 2;

function cpuMs(pid: number): number {
  const stat = statOf(pid);
  if (stat === undefined) throw new Error(`process ${pid} has ended`);
  return stat.cpuSeconds * 1_000;
}

/** Share of a core that a process takes over some seconds. */
export async function cpuShare(pid: number, overMs: number): Promise<number> {
  const before = cpuMs(pid);
  const began = performance.now();
  await delay(overMs);
  return (cpuMs(pid) - before) / (performance.now() - began);
}

/**
 * Lets a process run for `share` of the time, in turns of a quarter of a second, by SIGSTOP and SIGCONT. Resolves, by the
 * returned function or the end of the scope, when it runs freely again.
 */
export function limitCpu(scope: Scope, pid: number, share: number): () => Promise<void> {
  const over = new AbortController();
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => {
    try {
      process.kill(pid, name);
    } catch {
      over.abort(); // it has ended
    }
  };
  const run = async (): Promise<void> => {
    const onMs = Math.max(LEAST_MS, share * PERIOD_MS);
    while (!over.signal.aborted) {
      signal('SIGSTOP');
      await delay(PERIOD_MS - onMs, undefined, { signal: over.signal }).catch(() => undefined);
      signal('SIGCONT');
      if (!over.signal.aborted) await delay(onMs);
    }
  };
  const running = run();
  const free = async (): Promise<void> => {
    over.abort();
    await running;
  };
  atEnd(scope, free);
  return free;
}
