import { type AlertList, alertList, type alertsQuery } from '@weir/api';
import type { z } from 'zod';
import { decodeCursor, encodeCursor } from '../http/cursor.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';

/** One page of alerts, the one that changed last first. */
export function listAlerts(store: Store) {
  return function listAlerts(query: z.output<typeof alertsQuery>): Question<typeof alertList> {
    const { state, severity, site, device, rule, limit } = query;
    const parts = query.cursor === undefined ? undefined : decodeCursor(query.cursor, 2);
    const after =
      parts === undefined ? undefined : { updatedAt: new Date(Number(parts[0])), id: String(parts[1]) };
    return {
      key: `alerts:${JSON.stringify([state, severity, site, device, rule, limit, parts])}`,
      schema: alertList,
      load: async (): Promise<AlertList> => {
        const rows = await store.alerts({ state, severity, site, device, rule, after, limit: limit + 1 });
        const alerts = rows.slice(0, limit);
        const last = alerts.at(-1);
        const more = rows.length > limit && last !== undefined;
        return { alerts, next: more ? encodeCursor([Date.parse(last.updatedAt), last.id]) : null };
      },
    };
  };
}
