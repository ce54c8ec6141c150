import { setTimeout as delay } from 'node:timers/promises';
import {
  acquireLease,
  type Database,
  expireWindows,
  type Lease,
  type RetentionOptions,
} from '@weir/connect-timescale';
import type { MaintenanceEvents } from './maintenance-events.ts';

export interface MaintenanceConfig extends RetentionOptions {
  /** Address for the session that holds the lock. */
  readonly url: string;
  /** Shown in the table `maintenance`. */
  readonly holder: string;
  /** Time between two runs, milliseconds. */
  readonly intervalMs: number;
}

/** Others look this often whether the holder is gone. */
const TAKE_OVER_MS = 20_000;

/**
 * Runs retention in one process of all aggregators, until `signal` aborts: whoever gets the lock. Errors are told and
 * tried again at the next run; they never end the process, which has windows to write.
 */
export async function maintain(
  config: MaintenanceConfig,
  database: Database,
  events: MaintenanceEvents,
  signal: AbortSignal,
): Promise<void> {
  const { url, holder, intervalMs } = config;
  let lease: Lease | null = null;
  while (!signal.aborted) {
    let pause = Math.min(intervalMs, TAKE_OVER_MS);
    try {
      if (lease === null) {
        lease = await acquireLease(url, 'retention', holder);
        if (lease !== null) events.holding(lease.token);
      }
      if (lease !== null) {
        await expireWindows(database, lease, config, events.dropped);
        events.succeeded();
        pause = intervalMs;
      }
    } catch (error) {
      events.failed(error);
    }
    if (lease !== null)
      await delay(pause, undefined, { signal: AbortSignal.any([signal, lease.lost]) }).catch(() => undefined);
    else await delay(pause, undefined, { signal }).catch(() => undefined);
    if (lease?.lost.aborted === true) {
      await lease.release();
      lease = null;
      events.lost();
    }
  }
  await lease?.release();
}
