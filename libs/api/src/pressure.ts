import { z } from 'zod';
import { instant } from './common.ts';

/** The hops of a reading, from the device to the last server; each holds the one before it back. */
export const HOPS = [
  'device-gate',
  'spool',
  'forward-kafka',
  'forward-rabbitmq',
  'kafka',
  'rabbitmq',
  'aggregator',
  'timescale',
  'archiver',
  'minio',
  'alerter',
] as const;
const hopName = z.enum(HOPS);
export type HopName = z.output<typeof hopName>;

const buffer = z
  .object({
    used: z.number(),
    limit: z.number(),
  })
  .nullable()
  .describe('null: this hop has no bound of this kind; of several processes the fullest');
const share = z.number().min(0).max(1).nullable();
const perSecond = z.number().nullable();

const hop = z
  .object({
    hop: hopName,
    state: z
      .enum(['free', 'throttled', 'blocked', 'unknown'])
      .describe(
        'throttled: it takes less than it could; blocked: it takes nothing; unknown: its app does not answer. A server is as its callers find it',
      ),
    policy: z.string().nullable().describe('What happens when its buffer is full'),
    items: buffer,
    bytes: buffer,
    delaySeconds: z
      .number()
      .nullable()
      .describe('How long the oldest that is here has waited beyond the pace of the hop'),
    waitingShare: share.describe('Of the last seconds: how long it waited for what comes behind it'),
    busyShare: share.describe(
      'Of the last seconds: how long the event loop of its process had something to do',
    ),
    inPerSecond: perSecond.describe('Readings; of the archiver and the gate lines and publishes'),
    outPerSecond: perSecond,
  })
  .meta({ id: 'Hop' });
export type HopView = z.output<typeof hop>;

const call = z
  .object({
    from: z.string().describe('The app that calls'),
    to: z.string().describe('The server or notifier that is called'),
    state: z
      .enum(['ok', 'failing', 'open'])
      .describe('failing: the last call failed; open: the breaker is open, so that no call is made for now'),
    deadlineSeconds: z.number().nullable().describe('When a call is given up'),
    limit: z.number().nullable().describe('Calls at a time'),
  })
  .meta({ id: 'OutsideCall' });
export type CallView = z.output<typeof call>;

export const pressure = z
  .object({
    at: instant.describe('When this was measured'),
    bottleneck: z
      .object({
        hop: hopName,
        since: instant,
        why: z.string().describe('One sentence with the numbers'),
      })
      .nullable()
      .describe('The hop that holds the others back; null: nothing does'),
    throttle: z
      .object({
        mode: z.enum(['on', 'dry-run', 'off']),
        ratePerSecond: perSecond.describe(
          'What each edge may send to Kafka of normal readings; null: all it has',
        ),
        why: z.string(),
      })
      .describe('What edges are told while the windows are behind'),
    hops: z.array(hop),
    calls: z.array(call).describe('Deadlines, limits and breakers of outside calls'),
    unanswered: z.array(z.string()).describe('Apps that do not answer'),
  })
  .meta({ id: 'Pressure' });
export type Pressure = z.output<typeof pressure>;
