import { type LagSystem, lagDetail } from '@weir/api';

/** A monitor answers from memory. */
const DEADLINE_MS = 500;
const BEHIND = new Set(['WARN', 'ERR', 'STALL', 'STOP']);

/** Why a group or queue is WARN or worse, as a sentence without its end; null: it is not, or no monitor knows. */
export type AskLag = (system: LagSystem, group: string) => Promise<string | null>;

/** @param monitors addresses of their admin servers; the first that answers is believed */
export function askLag(monitors: readonly string[]): AskLag {
  return async function askLag(system, group) {
    const query = new URLSearchParams({ system, group });
    const ask = async (base: string): Promise<string | null> => {
      const url = `${base}/lag/group?${query}`;
      const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      const { verdict, rule } = lagDetail.parse(await response.json()).group;
      return BEHIND.has(verdict) ? `the lag monitor calls it ${verdict}: ${rule.text}` : null;
    };
    // Without a monitor the lag is still looked at: see `lookAt`.
    return Promise.any(monitors.map(ask)).catch(() => null);
  };
}
