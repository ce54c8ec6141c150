import { type DeviceLiveness, deviceLiveness } from '@weir/api';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import { siteOf } from './find-device.ts';

/** An alerter answers from memory. */
const DEADLINE_MS = 500;

/** What the active alerter knows of a device; undefined: nothing. Throws when none answers. */
export type AskLiveness = (site: string, device: string) => Promise<DeviceLiveness | undefined>;

/** @param alerters addresses of their admin servers; of several, the active one answers */
export function askLiveness(alerters: readonly string[]): AskLiveness {
  const ask = async (base: string, query: URLSearchParams): Promise<DeviceLiveness | undefined> => {
    const url = `${base}/liveness?${query}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
    const body: unknown = await response.json();
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    return deviceLiveness.parse(body);
  };
  return function askLiveness(site, device) {
    const query = new URLSearchParams({ site, device });
    return Promise.any(alerters.map((base) => ask(base, query)));
  };
}

/** The life of a device as the active alerter sees it now; never cached. */
export function findLiveness(store: Store, ask: AskLiveness) {
  return async function findLiveness(name: string, site: string | undefined): Promise<DeviceLiveness> {
    const where = site ?? (await siteOf(store, name, undefined));
    let found: DeviceLiveness | undefined;
    try {
      found = await ask(where, name);
    } catch (error) {
      throw new ApiProblem('alerter-away', 'No active alerter answers, and nobody else knows.', {
        retryAfterSeconds: 5,
        cause: error,
      });
    }
    if (found !== undefined) return found;
    throw new ApiProblem('device-not-found', `Device ${name} was not heard at site ${where}.`);
  };
}
