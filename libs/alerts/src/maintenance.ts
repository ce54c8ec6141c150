import type { MaintenanceWindow } from '@weir/config';
import { Cron } from 'croner';

type Schedule = Pick<MaintenanceWindow, 'cron' | 'for' | 'zone'>;

/** The first minute after `after` at which the window begins, epoch milliseconds; null: never again. */
export function nextOpening({ cron, zone }: Pick<Schedule, 'cron' | 'zone'>, after: number): number | null {
  const schedule = new Cron(cron, { timezone: zone, paused: true, mode: '5-part' });
  return schedule.nextRun(new Date(after))?.getTime() ?? null;
}

/**
 * Whether the window is open at `now`, epoch milliseconds. Where a day has no 02:30 because clocks are set forward, a
 * window of that time begins when the gap ends; where it has two, it begins at the first.
 */
export function isOpen(window: Schedule, now: number): boolean {
  const begins = nextOpening(window, now - window.for);
  return begins !== null && begins <= now;
}
