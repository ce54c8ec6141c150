import { z } from 'zod';
import { instant } from './common.ts';
import {
  deviceSite,
  figures,
  isClosed,
  isFinal,
  levelName,
  metricName,
  ofSeries,
  rangeFrom,
  rangeTo,
  watermark,
} from './windows.ts';

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** A length of time in a query; the parsed value is in milliseconds. */
const lengthParam = z.string().transform((text, context) => {
  const [, digits = '', unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS_MS[unit as keyof typeof UNITS_MS] ?? 0);
  if (ms > 0) return ms;
  context.addIssue({
    code: 'custom',
    message: `expected a whole number of s, m, h or d, such as "5m"; got "${text.slice(0, 60)}"`,
  });
  return z.NEVER;
});

export const VIEW_KINDS = ['hopping', 'sliding', 'moving-average', 'ewma', 'rate'] as const;
const viewKind = z
  .enum(VIEW_KINDS)
  .describe(
    'hopping, sliding: the figures of windows of `size`. moving-average: the mean of the readings of the `size` before each point. rate: (last - first) per second of the same. ewma: the average whose weights halve every `size`',
  );

export const viewsQuery = z.strictObject({
  site: deviceSite,
  metric: metricName,
  kind: viewKind,
  size: lengthParam.describe('Length of a window, or the half-life of an ewma: whole s, m, h or d'),
  hop: lengthParam
    .optional()
    .describe(
      'From one point to the next; default for hopping `size`, else the size of the coarsest windows of which `size` has at least ten',
    ),
  from: rangeFrom,
  to: rangeTo,
});

const viewPoint = z.object({
  start: instant.describe('Of the window; windows start at multiples of the hop since the epoch'),
  end: instant.describe('Exclusive'),
  isClosed,
  isFinal,
  figures: figures
    .nullable()
    .optional()
    .describe('Of hopping and sliding windows; null: no reading, which is not zero'),
  value: z.number().nullable().optional().describe('Of every other kind; null: it is not known'),
});

export const view = z
  .object({
    ...ofSeries,
    kind: viewKind,
    sizeSeconds: z.number(),
    hopSeconds: z.number(),
    level: levelName.describe('Stored windows that the points were merged from'),
    from: instant,
    to: instant,
    watermark,
    availableFrom: instant.nullable().describe('Older windows of this level are expired; null: none is'),
    points: z.array(viewPoint).describe('Every point of the range, in order'),
  })
  .meta({ id: 'View' });
export type View = z.output<typeof view>;
export type ViewPoint = View['points'][number];

export const anomalyQuery = z.strictObject({
  site: deviceSite,
  metric: metricName,
  level: levelName.default('5m').describe('Windows that are scored'),
  from: rangeFrom,
  to: rangeTo,
});

const cause = z
  .enum(['value', 'level', 'spread'])
  .describe(
    'value: far from where it was expected; level: the mean of the last day is; spread: the noise of the last six hours rose or vanished',
  );

export const anomaly = z
  .object({
    ...ofSeries,
    level: levelName,
    seconds: z.number().int().describe('Length of a window'),
    from: instant,
    to: instant,
    watermark,
    learntFrom: instant.nullable().describe('The first window that was learnt from; null: there is none'),
    alarms: z
      .array(
        z.object({
          from: instant.describe('Start of the first anomalous window'),
          to: instant.describe('Start of the last one'),
          cause,
          peak: z.number().describe('Largest score'),
          isOpen: z.boolean().describe('It may still grow'),
        }),
      )
      .describe('Episodes that reach into the range: a day below 1 ends one'),
    points: z
      .array(
        z.object({
          start: instant,
          value: z.number().nullable().describe('Mean of the window; null: no reading'),
          score: z.number().nullable().describe('1 and more is anomalous; null: too little is known'),
          cause: cause.nullable().describe('What the score is of'),
          expected: z.number().nullable().describe('Where the value was expected'),
          low: z.number().nullable().describe('Smaller values are anomalous'),
          high: z.number().nullable().describe('Larger values are anomalous'),
          alarm: z.boolean().describe('An alarm is open'),
        }),
      )
      .describe('Every closed window of the range, in order'),
  })
  .meta({ id: 'Anomaly' });
export type Anomaly = z.output<typeof anomaly>;
