import { z } from 'zod';
import { why } from './alerts.ts';
import { instant } from './common.ts';

/** A rule as it was written, with units in its values. */
const written = z.record(z.string(), z.unknown());

export const alertRuleView = z
  .object({
    id: z.string(),
    rule: written.describe('As weir.yaml would have it'),
    source: z.enum(['configuration', 'api']),
    overrides: z.boolean().describe('A rule of the API that stands in for one of the configuration'),
    enabled: z.boolean(),
    problem: z.string().nullable().describe('Why it is not applied'),
    version: z
      .string()
      .nullable()
      .describe('What ETag and If-Match hold; null for a rule of the configuration'),
    updatedAt: instant.nullable(),
    updatedBy: z.string().nullable(),
  })
  .meta({ id: 'AlertRule' });
export type AlertRuleView = z.output<typeof alertRuleView>;

export const alertRuleList = z.object({ rules: z.array(alertRuleView) }).meta({ id: 'AlertRuleList' });
export type AlertRuleList = z.output<typeof alertRuleList>;

/** An answer without a body. */
export const nothing = z.null();

export const alertRuleParams = z.strictObject({ id: z.string().min(1).max(64) });
export const alertRuleBody = z
  .strictObject({
    rule: written.describe('The rule; `id` may be left out'),
    enabled: z.boolean().default(true).describe('false: kept, and not evaluated'),
    why,
  })
  .meta({ id: 'AlertRuleChange' });
