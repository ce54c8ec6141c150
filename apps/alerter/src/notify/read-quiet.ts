import { type MaintenanceWindow, maintenanceWindow } from '@weir/config';
import { listSilences, listWindows, type Runner } from '@weir/connect-timescale';
import type { NotifyEvents } from './events.ts';
import type { Quiet } from './inhibition.ts';

/** More silences at a time than anybody can look after. */
const MOST_SILENCES = 10_000;

/**
 * The silences that have not ended, and the maintenance windows: those of the configuration, and those of the API,
 * which stand in for one of the same id.
 */
export async function readQuiet(
  sql: Runner,
  configured: readonly MaintenanceWindow[],
  events: NotifyEvents,
): Promise<Quiet> {
  const silences = await listSilences(sql, { current: true, limit: MOST_SILENCES });
  const windows = new Map(configured.map((window) => [window.id, window]));
  for (const { id, definition } of await listWindows(sql)) {
    const parsed = maintenanceWindow.safeParse({ ...definition, id });
    if (parsed.success) windows.set(id, parsed.data);
    else events.windowUnusable(id, parsed.error.issues.map(({ message }) => message).join('; '));
  }
  return {
    silences: silences.map(({ id, matchers, from, to }) => ({
      ...{ id, matchers, from: from.getTime(), to: to.getTime() },
    })),
    maintenance: [...windows.values()],
  };
}
