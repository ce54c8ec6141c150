import { LEVELS, type LevelName } from '@weir/topology';
import { z } from 'zod';
import { alert } from './alerts.ts';
import { instant } from './common.ts';
import { deviceLiveness } from './liveness.ts';
import { deviceSite, figures, isClosed, isFinal, levelName, watermark, window } from './windows.ts';

const names: readonly string[] = LEVELS.map(({ name }) => name);

export const summaryQuery = z.strictObject({
  site: deviceSite,
  levels: z
    .string()
    .max(64)
    .default('10s,1m')
    .transform((text, context): LevelName[] => {
      const asked = new Set(text.split(','));
      const unknown = [...asked].filter((name) => !names.includes(name));
      if (unknown.length === 0) return names.filter((name) => asked.has(name)) as LevelName[];
      context.addIssue({
        code: 'custom',
        message: `"${unknown.join(',')}" is not a level; some of ${names.join(', ')}, with commas between`,
      });
      return z.NEVER;
    })
    .describe('Window sizes, with commas between: some of 1s, 10s, 1m, 5m, 15m, 1h'),
});

const count = z.number().int().min(0);

export const liveness = z.object({
  state: z
    .enum(['online', 'silent', 'unknown'])
    .describe(
      'silent: nothing arrived for gateway.silentAfter; unknown: the aggregator has not told of it yet',
    ),
  lastSeen: instant
    .nullable()
    .describe('Arrival of its newest message; up to 15 s behind while the device goes on as before'),
  silentForSeconds: z.number().min(0).nullable().describe('Since lastSeen; null unless silent'),
  detector: deviceLiveness
    .nullable()
    .describe('What the failure detector of the alerter says; null: it does not know the device, or is away'),
});

export const clock = z
  .object({
    offsetMs: z.number().describe('Device clock minus clock of the edge'),
    errorMs: z.number().describe('The truth lies within offsetMs plus or minus this'),
    driftPpm: z.number(),
    driftErrorPpm: z.number(),
    at: instant.describe('When the estimate was made'),
    steps: count.describe('Times that the clock was set'),
  })
  .meta({ id: 'DeviceClock' });

export const sequence = z
  .object({
    last: z.number().int().nullable().describe('Newest sequence number; null: the device sends none'),
    gaps: count.describe('Times that numbers were left out'),
    missing: count.describe('Numbers that were left out and have not come since'),
    reordered: count.describe('Messages that came after one with a higher number'),
    restarts: count.describe('Times that the device began to count anew'),
  })
  .meta({ id: 'DeviceSequence' });

const currentWindow = figures
  .extend({ start: instant, end: instant.describe('Exclusive'), isClosed, isFinal })
  .describe('As far as its readings are stored');

export const summary = z
  .object({
    device: z.string(),
    site: z.string(),
    at: instant.describe('When this was read, by the clock of the database'),
    watermark,
    catchingUp: z
      .boolean()
      .describe(
        'The windows are behind (gateway.catchUpAfter) and being completed: value and lastSeen come from the live feed',
      ),
    liveness,
    clock: clock.nullable().describe('null: the device sends no times, or too few yet'),
    sequence: sequence.nullable(),
    readings: z
      .object({
        duplicates: count.describe('Sent again by the device'),
        late: count.describe('Later than the allowed lateness: dead letters'),
      })
      .nullable(),
    metrics: z.array(
      z.object({
        metric: z.string(),
        unit: z.string().nullable(),
        value: z
          .number()
          .nullable()
          .describe('Newest stored value; null: no reading of it is stored any more'),
        at: instant.nullable().describe('Event time of the value'),
        windows: z.array(
          z.object({
            level: levelName,
            current: currentWindow
              .nullable()
              .describe(
                'The window that the newest reading of the device is in; null: this metric has none in it',
              ),
            lastClosed: window.nullable().describe('The newest window that the watermark has passed'),
          }),
        ),
      }),
    ),
    alerts: z.array(alert).describe('Pending and firing, the one that changed last first, at most 100'),
  })
  .meta({ id: 'Summary' });
export type Summary = z.output<typeof summary>;
