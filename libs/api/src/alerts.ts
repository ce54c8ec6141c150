import { z } from 'zod';
import { cursorParam, instant, next } from './common.ts';

export const severity = z.enum(['info', 'warning', 'critical']);
export const alertState = z.enum(['pending', 'firing', 'resolved']);

export const alert = z
  .object({
    id: z.string(),
    rule: z.string(),
    site: z.string(),
    device: z.string(),
    metric: z.string(),
    severity,
    state: alertState,
    value: z.number().nullable().describe('The value that led to the state'),
    threshold: z.number().nullable(),
    startedAt: instant.describe('Event time at which the condition began'),
    firedAt: instant.nullable(),
    resolvedAt: instant.nullable(),
    updatedAt: instant,
  })
  .meta({ id: 'Alert' });
export type Alert = z.output<typeof alert>;

export const alertsQuery = z.strictObject({
  state: alertState.optional(),
  severity: severity.optional(),
  site: z.string().max(64).optional(),
  device: z.string().max(128).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});
export const alertList = z.object({ alerts: z.array(alert), next }).meta({ id: 'AlertList' });
export type AlertList = z.output<typeof alertList>;
