import { z } from 'zod';
import { cursorParam, instant, next } from './common.ts';
import { deadLetterReason, deadLetterSelection } from './dead-letters.ts';

export const replayState = z
  .enum(['planning', 'planned', 'running', 'paused', 'done', 'cancelled', 'failed'])
  .describe(
    'planning: its letters are being looked at; planned: a dry run that can be resumed; paused: by somebody, or by itself',
  );
const count = z.number().int().min(0);

export const replayPlan = z
  .object({
    letters: count.describe('Letters of the selection: the sum of send, skip, park and refuse'),
    send: count,
    skip: count.describe('Sent before and not come back, or all of their readings are counted'),
    park: count.describe('Came back as often as the loop guard allows'),
    refuse: count.describe('Cannot be sent as they are'),
    readings: count.describe('Readings that the letters to be sent bring back'),
    replayedBefore: count.describe('Letters to be sent that were sent before, and came back'),
    devices: count,
    destinations: z.array(z.object({ destination: z.string(), letters: count })),
    errors: z
      .array(z.object({ why: z.string(), letters: count }))
      .describe('Why letters are refused, the most frequent first'),
    samples: z
      .array(
        z.object({
          letter: z.string(),
          reason: deadLetterReason,
          site: z.string(),
          device: z.string(),
          destination: z.string(),
          readings: count.nullable(),
          replayCount: count,
        }),
      )
      .describe('The first five that are sent'),
    seconds: z.number().min(0).describe('What sending takes at the limit'),
  })
  .meta({ id: 'ReplayPlan' });

export const replay = z
  .object({
    id: z.string(),
    state: replayState,
    stateAt: instant,
    stateBy: z.string(),
    stateWhy: z.string(),
    pauseCause: z
      .enum(['person', 'lag', 'returns'])
      .nullable()
      .describe(
        'lag: goes on by itself when the destination has caught up; returns: its own letters came back',
      ),
    by: z.string(),
    why: z.string(),
    policy: z.string().nullable().describe('Null when a person asked for it'),
    selection: z.record(z.string(), z.unknown()),
    rate: count.describe('Letters a second, at most'),
    maxReplays: count,
    plan: replayPlan.nullable().describe('Null while it is being made'),
    createdAt: instant,
    startedAt: instant.nullable(),
    finishedAt: instant.nullable(),
    sent: count,
    resent: count.describe('Of those: sent once more, because it was not known whether they had arrived'),
    skipped: count,
    parked: count,
    failed: count.describe('Refused before, or by their destination'),
  })
  .meta({ id: 'Replay' });
export type Replay = z.output<typeof replay>;

const why = z.string().trim().min(1).max(1_000).describe('Kept with what is done');

export const replayRequest = z
  .strictObject({
    selection: deadLetterSelection.describe('Without a status: open letters and those that were sent before'),
    why,
    rate: z.number().int().min(1).max(1_000_000).optional().describe('deadLetters.replayRate when left out'),
    maxReplays: z
      .number()
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .describe('deadLetters.maxReplays when left out'),
    dryRun: z
      .boolean()
      .default(false)
      .describe('Plan it and wait: resuming it moves exactly what the plan says'),
  })
  .meta({ id: 'ReplayRequest' });
export type ReplayRequest = z.input<typeof replayRequest>;

export const replayParams = z.object({ id: z.uuid() });
export const replayCommand = z.strictObject({ why }).meta({ id: 'ReplayCommand' });

export const replaysQuery = z.strictObject({
  state: replayState.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});
export const replayList = z.object({ replays: z.array(replay), next }).meta({ id: 'ReplayList' });
export type ReplayList = z.output<typeof replayList>;

export const replayLetterState = z.enum(['waiting', 'sending', 'sent', 'skipped', 'parked', 'failed']);
export const replayLettersQuery = z.strictObject({
  state: replayLetterState.optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  cursor: cursorParam.optional(),
});
export const replayLetterList = z
  .object({
    letters: z.array(
      z.object({
        letter: z.string(),
        destination: z.string().nullable(),
        state: replayLetterState,
        why: z.string().nullable(),
        replayCount: count.nullable(),
        sentAt: instant.nullable(),
      }),
    ),
    next,
  })
  .meta({ id: 'ReplayLetterList' });
export type ReplayLetterList = z.output<typeof replayLetterList>;
