import { RULE_KINDS } from '@weir/config/alert-rules';
import { z } from 'zod';
import { cursorParam, instant, next } from './common.ts';

export const severity = z.enum(['info', 'warning', 'critical']);
/** Of rules, and of what the lag monitor finds. */
export const alertKind = z.enum([...RULE_KINDS, 'lag', 'ledger']);
export const alertState = z.enum(['pending', 'firing', 'acknowledged', 'resolved']);

export const alert = z
  .object({
    id: z.string(),
    rule: z.string(),
    kind: alertKind.describe('Kind of the rule'),
    site: z.string(),
    device: z.string().describe('Empty for an alert of a whole site'),
    metric: z.string().describe('Empty where the rule watches none'),
    severity,
    labels: z.record(z.string(), z.string()).describe('Those of the rule'),
    state: alertState,
    value: z.number().nullable().describe('The value that led to the state'),
    threshold: z.number().nullable(),
    startedAt: instant.describe('Event time at which the condition began'),
    firedAt: instant.nullable(),
    acknowledgedAt: instant.nullable(),
    acknowledgedBy: z.string().nullable(),
    suppressedBy: z
      .string()
      .nullable()
      .describe('The alert of the site that covers this one: nobody is told of this one then'),
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
  rule: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});
export const alertList = z.object({ alerts: z.array(alert), next }).meta({ id: 'AlertList' });
export type AlertList = z.output<typeof alertList>;

export const alertParams = z.strictObject({ id: z.uuid() });

/** What became of telling one notifier of one change of an alert. */
export const alertDelivery = z
  .object({
    notifier: z.string(),
    change: z.enum(['firing', 'acknowledged', 'resolved']),
    repeat: z.number().int().describe('0 for the change itself, n for the n-th reminder'),
    state: z.enum(['queued', 'held', 'sent', 'dropped', 'failed']),
    reason: z
      .string()
      .nullable()
      .describe(
        'Why it is held or was dropped: suppressed, silenced, maintenance, acknowledged, unannounced; why it failed: refused, expired, removed',
      ),
    cause: z.string().nullable().describe('Id of the silence, of the window or of the alert that covers it'),
    message: z.string().nullable().describe('Id of the message, the same for every attempt'),
    attempts: z.number().int(),
    nextAt: instant.nullable(),
    lastError: z.string().nullable(),
    settledAt: instant.nullable(),
  })
  .meta({ id: 'AlertDelivery' });
export type AlertDelivery = z.output<typeof alertDelivery>;

export const alertDetail = z
  .object({
    alert,
    changes: z.array(z.object({ state: z.string(), at: instant, suppressed: z.boolean() })),
    deliveries: z.array(alertDelivery),
  })
  .meta({ id: 'AlertDetail' });
export type AlertDetail = z.output<typeof alertDetail>;

/** Why somebody changes something by hand; kept in the audit trail. */
export const why = z.string().trim().min(1, 'say why, for the audit trail').max(1_000);

export const acknowledgement = z.strictObject({ why });
