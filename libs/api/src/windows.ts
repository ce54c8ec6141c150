import { LEVELS, type LevelName } from '@weir/topology';
import { z } from 'zod';
import { cursorParam, instant, instantParam, next } from './common.ts';

const levelNames = LEVELS.map((level) => level.name) as [LevelName, ...LevelName[]];

export const windowsQuery = z.strictObject({
  site: z.string().max(64).optional().describe('Needed only when several sites have a device of this name'),
  metric: z.string().min(1).max(128),
  level: z
    .enum(levelNames)
    .optional()
    .describe('Window size; without it the finest level with at most 600 windows in the range'),
  from: instantParam.optional().describe('Start, inclusive; default one hour before `to`'),
  to: instantParam.optional().describe('End, exclusive; default now'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  cursor: cursorParam.optional(),
});

const quantile = z.number().nullable().describe('From a sketch, within 1 %; null at level 1s');
export const window = z
  .object({
    start: instant,
    count: z.number().int().min(1),
    sum: z.number().nullable().describe('null when it overflows a 64-bit float'),
    min: z.number(),
    max: z.number(),
    mean: z.number().nullable(),
    stddev: z.number().min(0).nullable().describe('Of the sample (n - 1); null for a single reading'),
    first: z.number(),
    last: z.number(),
    p50: quantile,
    p90: quantile,
    p99: quantile,
    revision: z.number().int().min(0).describe('Grows each time the stored window changed'),
    final: z.boolean().describe('No reading can change it any more'),
  })
  .meta({ id: 'Window' });
export type Window = z.output<typeof window>;

export const windowList = z
  .object({
    device: z.string(),
    site: z.string(),
    metric: z.string(),
    unit: z.string().nullable(),
    level: z.enum(levelNames),
    seconds: z.number().int().describe('Length of a window'),
    from: instant,
    to: instant,
    windows: z.array(window),
    next,
  })
  .meta({ id: 'WindowList' });
export type WindowList = z.output<typeof windowList>;
