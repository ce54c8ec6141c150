import { z } from 'zod';
import { cursorParam, instant, next } from './common.ts';

export const commandState = z
  .enum(['queued', 'sent', 'delivered', 'acknowledged', 'failed', 'expired'])
  .meta({
    description:
      'queued: no edge has it yet; sent: the edges of the site have it; delivered: written to the device; acknowledged or failed: what the device answered; expired: its deadline passed without an answer, and it is not delivered any more',
  });

export const command = z
  .object({
    id: z.string(),
    site: z.string(),
    device: z.string(),
    name: z.string(),
    payload: z.unknown(),
    state: commandState,
    createdAt: instant,
    createdBy: z.string(),
    deadline: instant,
    sentAt: instant.nullable(),
    deliveredAt: instant.nullable().describe('When an edge wrote it to the connection of the device'),
    deliveredBy: z.string().nullable().describe('The edge that did'),
    answeredAt: instant.nullable(),
    answer: z.unknown().describe('What the device said with its acknowledgement'),
    finishedAt: instant.nullable(),
    attempts: z.number().int().min(0).describe('Times that it was given to RabbitMQ'),
    problem: z.string().nullable().describe('Why it is not on its way, or what its expiry means'),
  })
  .meta({ id: 'Command' });
export type Command = z.output<typeof command>;

const name = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\s.*#+$/"\\]+$/, 'a command name has none of . * # + $ / " \\ and no space');

export const commandRequest = z
  .strictObject({
    name: name.describe('Last level of the topic, for example set-speed'),
    payload: z.unknown().default(null).describe('Handed to the device as it is'),
    deadline: z
      .string()
      .regex(/^\d{1,6}(ms|s|m)$/, 'a time such as "500ms", "30s" or "5m"')
      .default('30s')
      .describe('How long the device has to take it and to answer; up to 15m'),
  })
  .meta({ id: 'CommandRequest' });
export type CommandRequest = z.output<typeof commandRequest>;

export const commandQuery = z.strictObject({
  site: z.string().max(64).optional().describe('Needed only when several sites have a device of this name'),
  wait: z.coerce
    .number()
    .min(0)
    .max(30)
    .default(0)
    .describe('Seconds to wait for the end of the command before the answer is sent'),
});
export const commandWait = commandQuery.pick({ wait: true });
export const commandParams = z.object({ id: z.uuid() });

export const commandsQuery = z.strictObject({
  site: z.string().max(64).optional(),
  device: z.string().max(128).optional(),
  state: commandState.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});
export const commandList = z.object({ commands: z.array(command), next }).meta({ id: 'CommandList' });
export type CommandList = z.output<typeof commandList>;
