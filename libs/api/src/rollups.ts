import { ROLLUP_LEVELS } from '@weir/topology';
import { z } from 'zod';
import { cursorParam, instant, instantParam, next } from './common.ts';
import { figures } from './windows.ts';

type RollupLevelName = (typeof ROLLUP_LEVELS)[number]['name'];
const level = z.enum(ROLLUP_LEVELS.map(({ name }) => name) as [RollupLevelName, ...RollupLevelName[]]);

const group = z.string().describe('fleet, site=plant-1, line=a, site=plant-1/line=a');
const groupedBy = z
  .string()
  .describe('fleet, or what the devices of a group have in common: site, line, site+line');

export const rollupsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(200),
  cursor: cursorParam.optional(),
});
export const rollupList = z
  .object({ rollups: z.array(z.object({ group, groupedBy, metric: z.string() })), next })
  .meta({ id: 'RollupList' });
export type RollupList = z.output<typeof rollupList>;

export const rollupWindowsQuery = z.strictObject({
  group: group.min(1).max(400),
  metric: z.string().min(1).max(128),
  level: level
    .optional()
    .describe('Window size; without it the finest level with at most 600 windows in the range'),
  from: instantParam.optional().describe('Start, inclusive; default one hour before `to`'),
  to: instantParam.optional().describe('End, exclusive; default now'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  cursor: cursorParam.optional(),
});

const rollupWindow = figures
  .omit({ rateOfChange: true })
  .extend({
    start: instant,
    end: instant.describe('Exclusive'),
    devices: z.number().int().min(1).describe('Devices with a reading in the window'),
    firstDevice: z.string().describe('site/device of `first`; of equal times the smallest name'),
    lastDevice: z.string().describe('site/device of `last`; of equal times the largest name'),
  })
  .meta({ id: 'RollupWindow' });
export type RollupWindow = z.output<typeof rollupWindow>;

export const rollupWindowList = z
  .object({
    group,
    groupedBy,
    metric: z.string(),
    level,
    seconds: z.number().int().describe('Length of a window'),
    from: instant,
    to: instant,
    since: instant
      .nullable()
      .describe(
        'Windows that start later are complete; earlier ones are left out, until a rebuild; null: all',
      ),
    windows: z.array(rollupWindow),
    next,
  })
  .meta({ id: 'RollupWindowList' });
export type RollupWindowList = z.output<typeof rollupWindowList>;
