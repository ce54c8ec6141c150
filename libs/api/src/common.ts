import { z } from 'zod';

/** RFC 3339, UTC, with milliseconds. */
export const instant = z.iso.datetime().meta({ example: '2026-01-31T12:00:00.000Z' });

/** A time in a query: RFC 3339 with any offset, or epoch milliseconds; the parsed value is epoch milliseconds. */
export const instantParam = z.string().transform((text, context) => {
  const ms = /^-?\d{1,16}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isFinite(ms) && Math.abs(ms) <= 8_640_000_000_000_000) return ms;
  context.addIssue({
    code: 'custom',
    message: `expected RFC 3339 such as "2026-01-31T12:00:00Z", or epoch milliseconds; got "${text.slice(0, 60)}"`,
  });
  return z.NEVER;
});

/** The place where the next page begins; made by the gateway, opaque to clients. */
export const cursorParam = z
  .string()
  .max(512)
  .regex(/^[A-Za-z0-9_-]+$/, 'not a cursor of this API; leave it out to begin at the first page')
  .describe('Where the page begins; taken from the Link header or from `next`');

export const next = z.string().nullable().describe('Cursor of the next page; null on the last one');

/** What can go wrong, as `code` of a problem. */
export const PROBLEMS = {
  'bad-request': 'The request has a part that this API does not accept.',
  'not-found': 'There is nothing under this address.',
  'device-not-found': 'No reading of this device has been stored.',
  'device-ambiguous': 'Several sites have a device of this name; say which with ?site=.',
  'group-not-found': 'No such group of devices has readings of this metric.',
  'precondition-failed': 'Somebody has changed it since the version that If-Match names.',
  'precondition-required': 'A change must name the version that it is for in If-Match.',
  refused: 'The request is understood, and cannot be done as things are.',
  'rate-limited': 'This client sends more requests than it may.',
  'database-away': 'The database does not answer, and nothing is cached for this question.',
  'upgrade-required': 'This address speaks WebSocket.',
  'alerter-away': 'No active alerter answers, and only it knows.',
  'lag-monitor-away': 'No lag monitor answers, and only it knows.',
  'lag-unknown': 'The lag monitor answers that it cannot tell now.',
  'live-full': 'As many clients as configured are watching already.',
  internal: 'The gateway failed; its log has the details under this requestId.',
} as const;
export type ProblemCode = keyof typeof PROBLEMS;

/** RFC 9457 problem details. */
export const problem = z
  .object({
    type: z.string().describe('A URI reference that names the kind of problem'),
    title: z.string(),
    status: z.number().int().min(400).max(599),
    detail: z.string().optional(),
    instance: z.string().optional(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    requestId: z.string().describe('Also in the X-Request-Id header and in the log'),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe('One entry for each part of the request that was refused'),
  })
  .meta({ id: 'Problem' });
export type Problem = z.output<typeof problem>;
