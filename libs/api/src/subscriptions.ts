import { subscriptionBindings } from '@weir/topology';
import { z } from 'zod';
import { instant } from './common.ts';

export const subscriptionRequest = z
  .strictObject({
    pattern: z
      .string()
      .superRefine((pattern, context) => {
        const found = subscriptionBindings(pattern);
        if (typeof found === 'string') context.addIssue({ code: 'custom', message: found });
      })
      .describe(
        '`telemetry.[<class>.]<site>.<metric>[.<device>]` or `events.<site>.<kind>`; `*` is one level, `#` any number',
      )
      .meta({ example: 'telemetry.plant-1.*' }),
    maxMessages: z
      .number()
      .int()
      .min(1)
      .max(100_000)
      .default(10_000)
      .describe('Messages that wait for a reader; beyond it the oldest are dropped'),
    messageTtl: z
      .number()
      .int()
      .min(1)
      .max(86_400)
      .default(300)
      .describe('Seconds that a message waits for a reader'),
    expires: z
      .number()
      .int()
      .min(10)
      .max(604_800)
      .default(3_600)
      .describe('Seconds without a reader after which the subscription is removed'),
    ordered: z
      .boolean()
      .default(false)
      .describe('One reader at a time, the others stand by; else readers share the messages'),
  })
  .meta({ id: 'SubscriptionRequest' });
export type SubscriptionRequest = z.output<typeof subscriptionRequest>;

export const subscription = z
  .object({
    id: z.uuid(),
    pattern: z.string(),
    keys: z.array(z.string()).describe('The routing key patterns that it stands for'),
    queue: z.string().describe('For AMQP clients with an account of their own'),
    maxMessages: z.number().int(),
    messageTtl: z.number().int(),
    expires: z.number().int(),
    ordered: z.boolean(),
    createdAt: instant,
    createdBy: z.string(),
    waiting: z
      .number()
      .int()
      .nullable()
      .describe('Messages in the queue, a few seconds old; null when unknown'),
    readers: z.number().int().nullable(),
  })
  .meta({ id: 'Subscription' });
export type Subscription = z.output<typeof subscription>;

export const subscriptionList = z
  .object({ subscriptions: z.array(subscription) })
  .meta({ id: 'SubscriptionList' });
export type SubscriptionList = z.output<typeof subscriptionList>;

export const subscriptionParams = z.strictObject({ id: z.uuid() });
