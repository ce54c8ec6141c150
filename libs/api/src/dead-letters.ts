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

const count = z.number().int().min(0);
const facet = z.array(z.object({ value: z.string(), count })).describe('The most frequent first, at most 50');
/** Letters that failed alike. */
export const deadLetterGroup = z
  .object({
    fingerprint: z.string(),
    reason: deadLetterReason,
    stage: z.string(),
    errorClass: z.string(),
    example: z.string().describe('What the newest one says'),
    count,
    devices: count,
    firstAt: instant.describe('The earliest last failure'),
    lastAt: instant,
  })
  .meta({ id: 'DeadLetterGroup' });
export type DeadLetterGroup = z.output<typeof deadLetterGroup>;

export const deadLetterFacets = z
  .object({
    total: count,
    bytes: count,
    oldestAt: instant.nullable(),
    newestAt: instant.nullable(),
    reason: facet,
    stage: facet,
    status: facet,
    originSystem: facet,
    site: facet,
    device: facet,
    replayCount: facet,
    age: facet.describe('Time since the last failure: under 1h, 1d, 7d, 30d, or older'),
    groups: z.array(deadLetterGroup).describe('By fingerprint, the most frequent first, at most 50'),
  })
  .meta({ id: 'DeadLetterFacets' });
export type DeadLetterFacets = z.output<typeof deadLetterFacets>;

export const deadLetterParams = z.object({ id: text(200) });
/** The bytes of a letter as far as they fit into an answer. */
const shownBytes = z.object({
  base64: z.string(),
  text: z.string().nullable().describe('null: not UTF-8'),
  truncated: z.boolean().describe('There are more: ask for /bytes'),
});
export const deadLetterDetail = deadLetter
  .extend({
    key: z.object({ text: z.string().nullable(), base64: z.string() }).nullable(),
    headers: z.record(z.string(), z.unknown()).describe('As they came; what is no text is {"base64": …}'),
    properties: z.record(z.string(), z.string()).describe('Of a message of RabbitMQ'),
    original: shownBytes.nullable().describe('null: purged or expired'),
    edits: z
      .array(
        z.object({
          number: z.number().int().min(1),
          at: instant,
          by: z.string(),
          why: z.string(),
          patch: z.unknown(),
          difference: z.unknown().describe('RFC 6902, from the document before to this one'),
          bytes: shownBytes,
        }),
      )
      .describe('The last one is what a replay sends'),
    history: z
      .array(
        z.object({
          audit: z.string(),
          at: instant,
          actor: z.string(),
          action: z.string(),
          why: z.string(),
          detail: z.unknown(),
        }),
      )
      .describe('What was done to it, the newest first'),
  })
  .meta({ id: 'DeadLetterDetail' });
export type DeadLetterDetail = z.output<typeof deadLetterDetail>;

export const deadLetterBytesQuery = z.strictObject({
  edited: z.stringbool().default(false).describe('What the last edit made of it, when there is one'),
});

const why = z
  .string()
  .trim()
  .min(1, 'say why: it is recorded with the change')
  .max(2_000)
  .describe('Recorded in the audit trail');
export const deadLetterChange = z.strictObject({
  selection: deadLetterSelection,
  why,
  dryRun: z.boolean().default(false).describe('Only say what would be changed'),
  expect: count.optional().describe('Refuse unless exactly so many letters would be changed'),
});
export type DeadLetterChange = z.output<typeof deadLetterChange>;
export const deadLetterEdit = deadLetterChange.extend({
  patch: z
    .array(z.looseObject({ op: z.string(), path: z.string() }))
    .min(1)
    .max(100)
    .describe('RFC 6902, on the payload; on the list of lines for a message of several'),
});
export const deadLetterChanged = z
  .object({
    action: z.enum(['park', 'unpark', 'purge', 'edit']),
    dryRun: z.boolean(),
    letters: count.describe('Changed, or that would be'),
    unchanged: count.describe('Of the selection, but in a status in which this makes no sense'),
    refused: z
      .array(z.object({ why: z.string(), letters: count, example: z.string() }))
      .describe('Left alone, the most frequent reason first; the example is the id of one'),
    audit: z.string().nullable().describe('Row of the audit trail; null when nothing was changed'),
  })
  .meta({ id: 'DeadLetterChanged' });
export type DeadLetterChanged = z.output<typeof deadLetterChanged>;

export const deadLetterAuditQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: cursorParam.optional(),
});
export const deadLetterAudit = z
  .object({
    entries: z.array(
      z.object({
        id: z.string(),
        at: instant,
        actor: z.string(),
        action: z.string(),
        subject: z.string(),
        why: z.string(),
        before: z.unknown(),
        after: z.unknown(),
        letters: z.array(z.string()).describe('Ids, at most 1,000'),
        more: count.describe('Letters beyond those'),
      }),
    ),
    next,
  })
  .meta({ id: 'DeadLetterAudit' });
export type DeadLetterAudit = z.output<typeof deadLetterAudit>;
