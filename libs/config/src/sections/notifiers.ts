import { Cron } from 'croner';
import { z } from 'zod';
import { duration, flag, names, secret, whole } from '../units.ts';
import { isZone } from '../zones.ts';

const severities = ['info', 'warning', 'critical'] as const;
/** Names, each with * for any text in it; one may stand alone. */
const patterns = () => names().optional();

const match = z
  .strictObject({
    severity: z.preprocess(
      (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
      z.array(z.enum(severities)).min(1).optional(),
    ),
    kind: patterns(),
    site: patterns(),
    device: patterns(),
    rule: patterns(),
  })
  .prefault({});

const common = {
  id: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/, 'lower-case letters, digits and - only')
    .describe('Name of the notifier'),
  match: match.describe('Which alerts it is told of: all that fit every list; * stands for any text'),
  repeat: duration()
    .optional()
    .describe(
      'While an alert fires and nobody acknowledges it, tell again after so long; never when left out',
    ),
  timeout: duration().prefault('10s').describe('Deadline of one attempt'),
  giveUpAfter: duration()
    .prefault('1d')
    .describe('Age at which a message that cannot be delivered is given up'),
};
const grouped = {
  groupBy: names()
    .default([])
    .describe(
      'Changes that agree in these (site, device, rule, kind, severity, metric or a label) share a message',
    ),
  groupWait: duration().prefault('10s').describe('How long the first change of a group waits for others'),
};
const address = z.string().regex(/^https?:\/\/\S+$/, 'an address that begins with http:// or https://');
const path = z.string().min(1);

const webhook = z.strictObject({
  kind: z.literal('webhook'),
  ...common,
  ...grouped,
  url: address.meta({ secret: true }),
  secret: secret()
    .min(16)
    .optional()
    .describe('Signs the messages; two, parted by a space, while one replaces the other'),
  secretFile: path.optional(),
  headers: z.record(z.string(), z.string().meta({ secret: true })).default({}),
});
const alertmanager = z.strictObject({
  kind: z.literal('alertmanager'),
  ...common,
  url: address.meta({ secret: true }).describe('Without /api/v2/alerts'),
  resend: duration().prefault('1m').describe('How often firing alerts are sent again'),
  username: z.string().optional(),
  password: secret().optional(),
  passwordFile: path.optional(),
});
const smtp = z.strictObject({
  kind: z.literal('smtp'),
  ...common,
  ...grouped,
  host: z.string().min(1),
  port: whole(1, 65_535).default(587),
  tls: z
    .enum(['starttls', 'implicit', 'none'])
    .default('starttls')
    .describe('none sends names and passwords in the clear'),
  username: z.string().optional(),
  password: secret().optional(),
  passwordFile: path.optional(),
  from: z.string().min(3),
  to: z.preprocess(
    (value) => (typeof value === 'string' ? [value] : value),
    z.array(z.string().min(3)).min(1),
  ),
});
const mqtt = z.strictObject({
  kind: z.literal('mqtt'),
  ...common,
  url: z
    .string()
    .regex(/^(mqtts?|wss?):\/\/\S+$/, 'an address that begins with mqtt://, mqtts://, ws:// or wss://'),
  username: z.string().optional(),
  password: secret().optional(),
  passwordFile: path.optional(),
  topic: z
    .string()
    .regex(
      /^(?:[^+#{}\0]|\{(?:site|device|rule|kind|severity|metric|state)\})+$/,
      'a topic, in which {site}, {device}, {rule}, {kind}, {severity}, {metric} and {state} are filled in',
    )
    .default('alerts/v1/{site}/{severity}/{rule}'),
  retain: flag().default(false),
});

export const notifiers = z
  .array(z.discriminatedUnion('kind', [webhook, alertmanager, smtp, mqtt]))
  .superRefine((all, context) => {
    const seen = new Set<string>();
    for (const [index, one] of all.entries()) {
      const refuse = (key: string, message: string): void =>
        context.addIssue({ code: 'custom', path: [index, key], message });
      if (seen.has(one.id)) refuse('id', `two notifiers are called "${one.id}"`);
      seen.add(one.id);
      if ('secret' in one && one.secret !== undefined && one.secretFile !== undefined)
        refuse('secretFile', 'goes without "secret"');
      if ('password' in one && one.password !== undefined && one.passwordFile !== undefined)
        refuse('passwordFile', 'goes without "password"');
    }
  })
  .default([])
  .describe('Who is told of alerts: webhook, alertmanager, smtp, mqtt');

export type Notifier = z.output<typeof notifiers>[number];

const cron = z.string().superRefine((text, context) => {
  try {
    if (new Cron(text, { mode: '5-part', paused: true }).nextRun() === null)
      throw new Error('it never comes');
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: `expected five fields of cron such as "0 2 * * 6" (Saturdays at 02:00); ${(error as Error).message}`,
    });
  }
});

/** A planned outage that comes again and again: alerts of these sites and devices are recorded, and nobody is told. */
export const maintenanceWindow = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,64}$/, 'lower-case letters, digits and - only'),
  site: z.string().min(1).default('*').describe('Site; * stands for any text'),
  device: z.string().min(1).default('*').describe('Device; * stands for any text'),
  cron: cron.describe('When it begins: minute, hour, day of month, month, day of week'),
  for: duration().refine((ms) => ms >= 60_000 && ms <= 31 * 86_400_000, 'from 1m to 31d'),
  zone: z.string().refine(isZone, 'no IANA time zone, such as Europe/Berlin').default('UTC'),
});
export type MaintenanceWindow = z.output<typeof maintenanceWindow>;

export const maintenance = z
  .array(maintenanceWindow)
  .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, 'two windows share an id')
  .default([])
  .describe('Planned outages, during which alerts are recorded and nobody is told');
