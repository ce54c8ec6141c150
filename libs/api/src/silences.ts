import { z } from 'zod';
import { why } from './alerts.ts';
import { cursorParam, instant, next } from './common.ts';

export const matcher = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/, 'letters, digits and _ only')
      .describe('site, device, rule, kind, severity, metric, or a label of the rule'),
    op: z.enum(['=', '!=']).default('='),
    value: z.string().max(200).describe('* stands for any text'),
  })
  .meta({ id: 'Matcher' });
export type Matcher = z.output<typeof matcher>;

export const silence = z
  .object({
    id: z.string(),
    matchers: z.array(matcher),
    from: instant,
    to: instant,
    by: z.string(),
    why: z.string(),
    createdAt: instant,
    state: z.enum(['pending', 'active', 'expired']),
  })
  .meta({ id: 'Silence' });
export type Silence = z.output<typeof silence>;

export const silencesQuery = z.strictObject({
  state: z.enum(['current', 'all']).default('current').describe('current: those that have not ended'),
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: cursorParam.optional(),
});
export const silenceList = z.object({ silences: z.array(silence), next }).meta({ id: 'SilenceList' });
export type SilenceList = z.output<typeof silenceList>;

export const newSilence = z
  .strictObject({
    matchers: z.array(matcher).min(1, 'a silence of everything needs a matcher that says so: site=*').max(20),
    from: z.iso.datetime({ offset: true }).optional().describe('Now when it is left out'),
    to: z.iso.datetime({ offset: true }),
    why,
  })
  .meta({ id: 'NewSilence' });
export type NewSilence = z.input<typeof newSilence>;

export const silenceParams = z.strictObject({ id: z.uuid() });
export const whyQuery = z.strictObject({ why });

/** A planned outage that comes again and again. */
export const maintenanceWindowView = z
  .object({
    id: z.string(),
    site: z.string(),
    device: z.string(),
    cron: z.string(),
    for: z.string(),
    zone: z.string(),
    source: z.enum(['configuration', 'api']),
    open: z.boolean().describe('Whether it lasts just now'),
    nextAt: instant.nullable().describe('When it begins next'),
  })
  .meta({ id: 'MaintenanceWindow' });
export type MaintenanceWindowView = z.output<typeof maintenanceWindowView>;
export const maintenanceList = z
  .object({ windows: z.array(maintenanceWindowView) })
  .meta({ id: 'MaintenanceWindowList' });
export type MaintenanceList = z.output<typeof maintenanceList>;
/** The window as weir.yaml has it, without its id, and why. */
export const maintenanceBody = z.strictObject({
  window: z.record(z.string(), z.unknown()).describe('site, device, cron, for and zone, as in weir.yaml'),
  why,
});
export const maintenanceParams = z.strictObject({ id: z.string().min(1).max(64) });
