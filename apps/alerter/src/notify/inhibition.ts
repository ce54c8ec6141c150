import { isOpen } from '@weir/alerts';
import type { Alert } from '@weir/api';
import type { MaintenanceWindow } from '@weir/config';
import { fits, type Matcher, matchesAll } from './matching.ts';

/** Nobody is told of the alerts that a silence matches, while it lasts. */
export interface Silence {
  readonly id: string;
  readonly matchers: readonly Matcher[];
  /** Epoch milliseconds; it lasts from the first to just before the second. */
  readonly from: number;
  readonly to: number;
}

/** Why nobody is told of an alert just now, and because of what. */
export interface Inhibition {
  readonly reason: 'suppressed' | 'silenced' | 'maintenance';
  /** Id of the alert that covers it, of the silence, or of the maintenance window. */
  readonly cause: string;
}

export interface Quiet {
  readonly silences: readonly Silence[];
  readonly maintenance: readonly MaintenanceWindow[];
}

/** Judges alerts at one moment: each window is asked once, however many alerts there are. */
export function inhibitionsAt(
  { silences, maintenance }: Quiet,
  now: number,
): (alert: Alert) => Inhibition | undefined {
  const lasting = silences.filter(({ from, to }) => from <= now && now < to);
  const open = maintenance.filter((window) => isOpen(window, now));
  return (alert) => {
    if (alert.suppressedBy !== null) return { reason: 'suppressed', cause: alert.suppressedBy };
    const silence = lasting.find(({ matchers }) => matchesAll(matchers, alert));
    if (silence !== undefined) return { reason: 'silenced', cause: silence.id };
    const window = open.find(({ site, device }) => fits(site, alert.site) && fits(device, alert.device));
    return window === undefined ? undefined : { reason: 'maintenance', cause: window.id };
  };
}
