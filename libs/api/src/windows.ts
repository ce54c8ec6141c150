import { LEVELS, type LevelName } from '@weir/topology';
import { z } from 'zod';
import { cursorParam, instant, instantParam, next } from './common.ts';

const levelNames = LEVELS.map((level) => level.name) as [LevelName, ...LevelName[]];
export const levelName = z.enum(levelNames);

export const deviceSite = z
  .string()
  .max(64)
  .optional()
  .describe('Needed only when several sites have a device of this name');
export const metricName = z.string().min(1).max(128);
export const rangeFrom = instantParam.optional().describe('Start, inclusive; default one hour before `to`');
export const rangeTo = instantParam.optional().describe('End, exclusive; default now');

export const windowsQuery = z.strictObject({
  site: deviceSite,
  metric: metricName,
  level: levelName
    .optional()
    .describe('Window size; without it the finest level with at most 600 windows in the range'),
  from: rangeFrom,
  to: rangeTo,
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  cursor: cursorParam.optional(),
});

const orNull = z.number().nullable();
const figure = orNull.describe('null when it overflows a 64-bit float');
const quantile = z.number().describe('From a sketch, within 1 %; of few values the lower one');
/** What is known of the readings of a stretch of time. */
export const figures = z
  .object({
    count: z.number().int().min(1),
    eventsPerSecond: z.number().describe('count over the length of the window'),
    sum: figure,
    min: z.number(),
    max: z.number(),
    mean: figure,
    stddev: z.number().min(0).nullable().describe('Of the sample (n - 1); null for a single reading'),
    median: quantile,
    p50: quantile.describe('The same as median'),
    p90: quantile,
    p99: quantile,
    first: z.number(),
    firstAt: instant.describe('Event time'),
    last: z.number(),
    lastAt: instant.describe('Event time'),
    rateOfChange: orNull.describe('(last - first) per second between them; null when their times are equal'),
  })
  .meta({ id: 'Figures' });
export type Figures = z.output<typeof figures>;

export const isClosed = z
  .boolean()
  .describe("The device's watermark has passed the end: only a late reading can still change it");
export const isFinal = z
  .boolean()
  .describe(
    'The watermark has passed the end and the allowed lateness: only a replay of dead letters can still change it',
  );
export const watermark = instant
  .nullable()
  .describe("Event time up to which the device's windows are complete but for late readings");

export const window = figures
  .extend({
    start: instant,
    end: instant.describe('Exclusive'),
    revision: z.number().int().min(0).describe('Grows each time the stored window changed'),
    isClosed,
    isFinal,
  })
  .meta({ id: 'Window' });
export type Window = z.output<typeof window>;

export const ofSeries = {
  device: z.string(),
  site: z.string(),
  metric: z.string(),
  unit: z.string().nullable(),
};

export const windowList = z
  .object({
    ...ofSeries,
    level: levelName,
    seconds: z.number().int().describe('Length of a window'),
    from: instant,
    to: instant,
    watermark,
    windows: z.array(window),
    next,
  })
  .meta({ id: 'WindowList' });
export type WindowList = z.output<typeof windowList>;

export const seriesQuery = z.strictObject({
  site: deviceSite,
  metric: metricName,
  from: rangeFrom,
  to: rangeTo,
  points: z.coerce
    .number()
    .int()
    .min(1)
    .max(5_000)
    .default(300)
    .describe('At most this many; they are of a length that divides a day, so there may be fewer'),
  level: levelName.optional().describe('One point for each window of this size, instead of `points`'),
});

const point = z.object({
  start: instant,
  end: instant.describe('Exclusive'),
  isClosed,
  isFinal,
  figures: figures.nullable().describe('null: no reading, which is not zero'),
});

export const series = z
  .object({
    ...ofSeries,
    from: instant.describe('Begins before the one asked for where finer windows are expired'),
    to: instant,
    watermark,
    seconds: z
      .number()
      .int()
      .describe('Length of a point, but for the ends and where finer windows are expired'),
    stretches: z
      .array(
        z.object({
          level: levelName.nullable().describe('null: the windows of every level are expired'),
          from: instant,
          to: instant,
          windows: z.number().int().describe('Stored windows that were found in it'),
        }),
      )
      .describe('Which level each part of the range was read from, without gaps'),
    points: z.array(point).describe('Every point of the range in order; together they cover it without gaps'),
  })
  .meta({ id: 'Series' });
export type Series = z.output<typeof series>;
export type SeriesPoint = Series['points'][number];
