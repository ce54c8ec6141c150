import { type DeviceList, deviceList, type devicesQuery } from '@weir/api';
import type { z } from 'zod';
import { decodeCursor, encodeCursor } from '../http/cursor.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';

/** One page of devices, by site and name. */
export function listDevices(store: Store) {
  return function listDevices(query: z.output<typeof devicesQuery>): Question<typeof deviceList> {
    const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor, 2).map(String);
    return {
      key: `devices:${JSON.stringify([query.site, query.q, query.limit, after])}`,
      schema: deviceList,
      load: async (): Promise<DeviceList> => {
        const rows = await store.devices({
          site: query.site,
          q: query.q,
          after: after === undefined ? undefined : { site: after[0] ?? '', device: after[1] ?? '' },
          // One more than asked for tells whether there is a next page.
          limit: query.limit + 1,
        });
        const devices = rows.slice(0, query.limit);
        const last = devices.at(-1);
        const more = rows.length > query.limit && last !== undefined;
        return { devices, next: more ? encodeCursor([last.site, last.id]) : null };
      },
    };
  };
}
