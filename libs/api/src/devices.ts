import { z } from 'zod';
import { cursorParam, instant, next } from './common.ts';
import { clock, sequence } from './summary.ts';

export const device = z
  .object({
    id: z.string().describe('Name of the device, as in its topics'),
    site: z.string(),
    metrics: z.array(z.object({ name: z.string(), unit: z.string().nullable() })),
    lastSeen: instant.nullable().describe('Event time of the newest stored reading'),
  })
  .meta({ id: 'Device' });
export type Device = z.output<typeof device>;

const count = z.number().int().min(0);
/** What the log of readings tells of a device, beside its values. */
export const deviceFacts = z
  .object({
    firstSeen: instant.describe('Arrival of its first message'),
    lastSeen: instant.describe('Arrival of its newest message'),
    newest: instant.nullable().describe('Newest event time'),
    watermark: instant
      .nullable()
      .describe('Event time up to which its windows are complete, but for late readings'),
    sequence,
    duplicates: count.describe('Readings sent again by the device'),
    late: count.describe('Readings later than the allowed lateness: dead letters'),
    clock: clock.nullable().describe('null: the device sends no times, or too few yet'),
    updatedAt: instant.describe('When this was written: at once for a new count, else every 15 s'),
  })
  .meta({ id: 'DeviceFacts' });
export type DeviceFacts = z.output<typeof deviceFacts>;

export const deviceDetail = device
  .extend({ facts: deviceFacts.nullable().describe('null before the aggregator first wrote it') })
  .meta({ id: 'DeviceDetail' });
export type DeviceDetail = z.output<typeof deviceDetail>;

export const deviceList = z.object({ devices: z.array(device), next }).meta({ id: 'DeviceList' });
export type DeviceList = z.output<typeof deviceList>;

export const devicesQuery = z.strictObject({
  site: z.string().max(64).optional().describe('Only devices of this site'),
  q: z.string().max(128).optional().describe('Only devices whose name or site holds this text, in any case'),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: cursorParam.optional(),
});

export const deviceParams = z.object({ id: z.string().min(1).max(128).describe('Name of the device') });
export const siteQuery = z.strictObject({
  site: z.string().max(64).optional().describe('Needed only when several sites have a device of this name'),
});

export const latestValue = z.object({
  metric: z.string(),
  unit: z.string().nullable(),
  value: z.number(),
  at: instant.describe('Event time of the value'),
});
export const latest = z
  .object({
    device: z.string(),
    site: z.string(),
    catchingUp: z.boolean().describe('The windows are behind: values come from the live feed'),
    values: z.array(latestValue),
  })
  .meta({ id: 'Latest' });
export type Latest = z.output<typeof latest>;
