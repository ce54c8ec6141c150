import { setTimeout as delay } from 'node:timers/promises';
import { acquireLease, fenced, type Lease } from '@weir/connect-timescale';
import {
  leaveRunning,
  listTasks,
  openDestinations,
  type ReplayTask,
  resumeAfterLag,
  tidyTasks,
} from '@weir/dead-letters';
import { isTransient, WeirError } from '@weir/flow';
import { isFenced, type ReplayParts, withLease } from './parts.ts';
import { planTask } from './plan-task.ts';
import { runTask } from './run-task.ts';

export interface WorkerOptions {
  /** Address for the session that holds the lease. */
  readonly url: string;
  /** Shown in the table `maintenance`. */
  readonly holder: string;
  readonly parts: Omit<ReplayParts, 'write' | 'insist' | 'giveUp'>;
  /** Called every few seconds. */
  readonly applyPolicies: () => Promise<void>;
  /** An error that is a bug. */
  readonly fatal: (error: unknown) => void;
}

/** Looks for tasks, and for the lease while another process has it. */
const POLL_MS = 500;
const POLICY_MS = 2_000;
const TIDY_MS = 60_000;
/** At a stop the last bookkeeping gets this long; what it misses is sent once more by the next start. */
const LAST_MS = 5_000;
/** Tasks at a time; others wait for their turn. */
const MOST = 4;
const TIDY = { planMs: 24 * 3_600_000, itemsMs: 30 * 24 * 3_600_000 };

/** Plans and sends replays in one process of all, until `signal` aborts: whoever gets the lease. */
export async function replayWorker(options: WorkerOptions, signal: AbortSignal): Promise<void> {
  const { url, holder, parts } = options;
  const { events } = parts;
  while (!signal.aborted) {
    let lease: Lease | null = null;
    try {
      lease = await acquireLease(url, 'replay', holder);
      if (lease !== null) {
        events.holding(lease.token);
        await holdLease(options, lease, AbortSignal.any([signal, lease.lost]));
        if (!signal.aborted) events.lost();
      }
    } catch (error) {
      if (!isTransient(error)) return options.fatal(error);
      events.away('planning and sending replays', error);
    } finally {
      await lease?.release();
    }
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Works until the signal aborts, and then until every step has ended. Throws when another process has taken over. */
async function holdLease(options: WorkerOptions, lease: Lease, signal: AbortSignal): Promise<void> {
  const { applyPolicies, fatal } = options;
  const takenOver = new AbortController();
  const ending = AbortSignal.any([signal, takenOver.signal]);
  const giveUp = new AbortController();
  lease.lost.addEventListener('abort', () => giveUp.abort());
  ending.addEventListener('abort', () => setTimeout(() => giveUp.abort(), LAST_MS).unref());
  const parts = withLease(options.parts, lease, giveUp.signal);
  const { database, events } = parts;
  const running = new Map<string, Promise<void>>();
  const steps = { planning: planTask(parts), running: runTask(parts) };

  const work = async (task: ReplayTask): Promise<void> => {
    try {
      await steps[task.state as keyof typeof steps](task, ending);
    } catch (error) {
      if (ending.aborted) return;
      if (isFenced(error)) takenOver.abort();
      else if (!(error instanceof WeirError)) fatal(error);
      else {
        events.failed(task, error);
        const why = error.message;
        await parts
          .write('ending a replay', ending, (transaction) =>
            leaveRunning(transaction, task.id, { state: 'failed', why }),
          )
          .catch(() => undefined); // the lease is gone; the next holder comes to the same error
      }
    }
  };
  const resume = async (task: ReplayTask): Promise<void> => {
    for (const destination of await openDestinations(database, task.id))
      if ((await parts.look(destination)).behind !== null) return;
    const why = 'its destinations have caught up';
    const resumed = await fenced(database, lease, 'resuming a replay', (transaction) =>
      resumeAfterLag(transaction, task.id, why),
    );
    if (resumed) events.resumed(task, why);
  };
  const due = (everyMs: number): (() => boolean) => {
    let last = Number.NEGATIVE_INFINITY;
    return () => {
      if (performance.now() - last < everyMs) return false;
      last = performance.now();
      return true;
    };
  };
  const isPolicyDue = due(POLICY_MS);
  const isTidyDue = due(TIDY_MS);

  try {
    while (!ending.aborted) {
      try {
        const tasks = await listTasks(database, { states: ['planning', 'running', 'paused'], limit: 1_000 });
        for (const task of tasks.toReversed()) {
          if (task.state === 'paused' || running.has(task.id) || running.size >= MOST) continue;
          running.set(
            task.id,
            work(task).finally(() => running.delete(task.id)),
          );
        }
        events.active(running.size);
        if (isPolicyDue()) {
          for (const task of tasks) if (task.pauseCause === 'lag') await resume(task);
          await applyPolicies();
        }
        if (isTidyDue())
          await fenced(database, lease, 'tidying replays', (transaction) => tidyTasks(transaction, TIDY));
      } catch (error) {
        if (isFenced(error)) throw error;
        if (!isTransient(error)) return fatal(error);
        events.away('looking for replays', error);
      }
      await delay(POLL_MS, undefined, { signal: ending }).catch(() => undefined);
    }
  } finally {
    takenOver.abort();
    await Promise.all(running.values());
    events.active(0);
  }
}
