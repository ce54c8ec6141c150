import { DEAD_LETTER_REASONS } from '@weir/flow/reasons';
import { z } from 'zod';
import { cursorParam, instant, instantParam, next } from './common.ts';

export const deadLetterReason = z.enum(DEAD_LETTER_REASONS);
export const deadLetterStatus = z
  .enum(['open', 'parked', 'replayed', 'purged'])
  .describe(
    'open: waits for somebody; parked: put aside; replayed: sent again; purged: its bytes are removed',
  );
export const originSystem = z.enum(['mqtt', 'http', 'kafka', 'rabbitmq']);

/** One value or several: `a,b` in a query, a list in a body. */
const several = <T extends z.ZodType<unknown, string>>(one: T, max: number) =>
  z.preprocess(
    (given) => (typeof given === 'string' ? given.split(',').map((part) => part.trim()) : given),
    z.array(one).min(1).max(max),
  );
const text = (max: number) => z.string().min(1).max(max);
const times = z.coerce.number().int().min(0).max(1_000_000);

/** Which letters; every field that is given must fit. The same in the API, the command line and in replay tasks. */
export const deadLetterSelection = z.strictObject({
  ids: several(text(200), 1_000).optional().describe('Exactly these'),
  reason: several(deadLetterReason, DEAD_LETTER_REASONS.length).optional(),
  stage: several(text(200), 20).optional().describe('The step that failed'),
  site: text(128).optional(),
  device: text(128).optional(),
  fingerprint: text(64).optional().describe('Letters of one kind of failure share it'),
  originSystem: several(originSystem, 4).optional().describe('Where the bytes came from'),
  origin: text(512).optional().describe('The topic, path or queue that the bytes came from'),
  from: instantParam.optional().describe('Failed last at this time or later'),
  to: instantParam.optional().describe('Failed last before this time'),
  status: several(deadLetterStatus, 4).optional(),
  replayedAtLeast: times.optional().describe('Sent again at least so often'),
  replayedAtMost: times.optional().describe('Sent again at most so often'),
});
export type DeadLetterSelection = z.output<typeof deadLetterSelection>;

export const deadLetter = z
  .object({
    id: z.string(),
    seq: z.string().describe('Order of indexing'),
    reason: deadLetterReason,
    stage: z.string(),
    site: z.string().nullable(),
    device: z.string().nullable(),
    fingerprint: z.string(),
    errorClass: z.string(),
    errorMessage: z.string(),
    originSystem,
    origin: z.string(),
    foundIn: z.string().describe('<topic>/<partition>/<offset>, or the dead-letter queue'),
    firstFailedAt: instant,
    lastFailedAt: instant,
    originalAt: instant.describe('Time of the original message'),
    arrivedAt: instant.describe('When it was indexed'),
    retryable: z.boolean().describe('Sent again unchanged it may pass'),
    readings: z
      .array(z.number().int().min(0))
      .nullable()
      .describe('Indexes among the readings of the line; null: all'),
    replayCount: z.number().int().min(0),
    status: deadLetterStatus,
    statusAt: instant.nullable(),
    statusBy: z.string().nullable(),
    statusWhy: z.string().nullable(),
    bytes: z.number().int().min(0).describe('Length of the original'),
    sha256: z.string().describe('Of the original bytes, in hex'),
    content: z.enum(['json', 'lines', 'text', 'binary', 'empty']),
    bytesRemovedAt: instant
      .nullable()
      .describe('When the bytes were purged or expired; null while they are kept'),
  })
  .meta({ id: 'DeadLetter' });
export type DeadLetter = z.output<typeof deadLetter>;

export const deadLettersQuery = deadLetterSelection.extend({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});
export const deadLetterList = z.object({ letters: z.array(deadLetter), next }).meta({ id: 'DeadLetterList' });
export type DeadLetterList = z.output<typeof deadLetterList>;
