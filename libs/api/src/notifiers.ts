import { z } from 'zod';
import { instant } from './common.ts';

export const notifier = z
  .object({
    id: z.string(),
    kind: z.string(),
    state: z
      .enum(['healthy', 'failing', 'open', 'unknown'])
      .describe(
        'open: it failed so often that only a trial now and then is made; unknown: it was never used',
      ),
    queued: z.number().int().describe('Deliveries that wait to be sent'),
    oldestQueuedAt: instant.nullable(),
    held: z.number().int().describe('Kept back by silences, maintenance or an alert that covers them'),
    lastSentAt: instant.nullable(),
    lastError: z.string().nullable(),
    lastErrorAt: instant.nullable(),
  })
  .meta({ id: 'Notifier' });
export type NotifierView = z.output<typeof notifier>;

export const notifierList = z.object({ notifiers: z.array(notifier) }).meta({ id: 'NotifierList' });
export type NotifierList = z.output<typeof notifierList>;

export const notifierParams = z.strictObject({ id: z.string().min(1).max(64) });

/** What came back when a test alert was sent. */
export const notifierTest = z
  .object({
    notifier: z.string(),
    message: z.string().describe('Id of the message'),
    ok: z.boolean(),
    said: z.string().describe('The answer of the receiver, or what went wrong'),
    tookMs: z.number(),
  })
  .meta({ id: 'NotifierTest' });
export type NotifierTest = z.output<typeof notifierTest>;
