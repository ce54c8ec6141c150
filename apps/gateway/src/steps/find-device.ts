import { type DeviceDetail, type DeviceFacts, deviceDetail, type Latest, latest } from '@weir/api';
import type { DeviceFacts as StoredFacts } from '@weir/connect-timescale';
import { ApiProblem } from '../http/problems.ts';
import { CATCHING_UP_MS, type Newest, newerOf } from '../live/newest.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { time } from './show-figures.ts';

/**
 * The one of these that is meant, of the sites that have a device of this name: the one that was named, else the only
 * one. Throws `device-not-found` or `device-ambiguous`.
 */
export function onlySite<T extends { readonly site: string }>(
  found: readonly T[],
  name: string,
  site: string | undefined,
): T {
  const shown = name.slice(0, 128);
  const [only] = site === undefined ? found : found.filter((one) => one.site === site);
  if (only === undefined) {
    const where = site === undefined ? '' : ` at site ${site}`;
    throw new ApiProblem('device-not-found', `No reading of device ${shown}${where} has been stored.`);
  }
  if (site === undefined && found.length > 1) {
    const sites = found.map((one) => one.site).join(', ');
    throw new ApiProblem('device-ambiguous', `Device ${shown} is at the sites ${sites}; add ?site=.`);
  }
  return only;
}

/** The site of a device: the one that was named, else the only one. Throws when there is none, or no single one. */
export async function siteOf(store: Store, name: string, site: string | undefined): Promise<string> {
  const sites = await store.sitesOf(name);
  return onlySite(
    sites.map((one) => ({ site: one })),
    name,
    site,
  ).site;
}

/** One device with its metrics and what its log tells. */
export function findDevice(store: Store) {
  return function findDevice(name: string, site: string | undefined): Question<typeof deviceDetail> {
    return {
      key: `device:${JSON.stringify([name, site])}`,
      schema: deviceDetail,
      load: async (): Promise<DeviceDetail> => {
        const where = await siteOf(store, name, site);
        const [found, facts] = await Promise.all([store.device(name, where), store.facts(name, where)]);
        if (found === null)
          throw new ApiProblem('device-not-found', `No reading of device ${name} has been stored.`);
        return { ...found, facts: facts && showFacts(facts) };
      },
    };
  };
}

function showFacts({
  firstSeen,
  lastSeen,
  newest,
  watermark,
  clock,
  updatedAt,
  ...counts
}: StoredFacts): DeviceFacts {
  return {
    ...counts,
    firstSeen: time(firstSeen),
    lastSeen: time(lastSeen),
    newest: newest === null ? null : time(newest),
    watermark: watermark === null ? null : time(watermark),
    clock: clock && { ...clock, at: time(clock.at) },
    updatedAt: time(updatedAt),
  };
}

/** The newest value of every metric of a device. */
export function readLatest(store: Store, newest: Newest) {
  return function readLatest(name: string, site: string | undefined): Question<typeof latest> {
    return {
      key: `latest:${JSON.stringify([name, site])}`,
      ...(newest.active ? { freshMs: CATCHING_UP_MS } : {}),
      schema: latest,
      load: async (): Promise<Latest> => {
        const where = await siteOf(store, name, site);
        const values = await store.latest(name, where);
        return {
          device: name,
          site: where,
          catchingUp: newest.active,
          values: values.map(({ metric, unit, value, ts }) =>
            newerOf({ metric, unit, value, at: ts.toISOString() }, newest.of(where, name)),
          ),
        };
      },
    };
  };
}
