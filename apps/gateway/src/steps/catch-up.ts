import { setTimeout as delay } from 'node:timers/promises';
import { lagDetail } from '@weir/api';
import type { Events } from '../events.ts';
import type { Newest } from '../live/newest.ts';
import type { AskMonitor } from './ask-monitor.ts';

const EVERY_MS = 5_000;
/** It ends at this share of the bound, so that it does not go on and off. */
const END_SHARE = 0.5;

export interface CatchUpOptions {
  readonly monitor: AskMonitor;
  /** Of the aggregator. */
  readonly group: string;
  readonly newest: Newest;
  readonly events: Events;
  /** Time lag from which on newest values come from the live feed, milliseconds. */
  readonly afterMs: number;
  readonly stopping: AbortSignal;
}

/**
 * While the windows are behind by more than `afterMs`, live views skip to the newest value of each device, and the
 * windows are completed behind them. Without a monitor that knows the lag it stays as it is.
 */
export async function catchUp(options: CatchUpOptions): Promise<void> {
  const { monitor, group, newest, events, afterMs, stopping } = options;
  const path = `/lag/group?${new URLSearchParams({ system: 'kafka', group })}`;
  while (!stopping.aborted) {
    const behind = await monitor(path, lagDetail).then(
      (detail) => detail.group.timeLagMs,
      () => null,
    );
    const active = behind === null ? newest.active : behind > (newest.active ? END_SHARE * afterMs : afterMs);
    if (active !== newest.active) events.catchingUp(active, behind);
    newest.active = active;
    await delay(EVERY_MS, undefined, { signal: stopping }).catch(() => undefined); // the stop cuts it short
  }
}
