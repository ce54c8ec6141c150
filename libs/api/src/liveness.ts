import { z } from 'zod';
import { instant } from './common.ts';

export const deviceLiveness = z
  .object({
    device: z.string(),
    site: z.string(),
    edge: z.string().describe('The edge that heard it last'),
    state: z
      .enum(['learning', 'online', 'suspect', 'unknown'])
      .describe(
        'learning: fewer than four intervals are known; suspect: silent for longer than its own rhythm explains; ' +
          'unknown: its edge does not tell how far it is',
      ),
    phi: z
      .number()
      .min(0)
      .nullable()
      .describe('-log10 of the chance that a device that lives is silent for so long; 8 and more is suspect'),
    periodMs: z.number().nullable().describe('How often it is usually heard'),
    deviationMs: z.number().nullable().describe('How far its intervals deviate, as it is judged by'),
    intervals: z.number().int().min(0).describe('Intervals that this is known from, at most 64'),
    lastHeard: instant
      .nullable()
      .describe('By a reading, an event or keepalive; by the clock of the edge. null: not since its alert'),
    judgedAt: instant
      .nullable()
      .describe('Up to when the edge has told what it heard, by its clock; phi is as of then'),
  })
  .meta({ id: 'DeviceLiveness' });
export type DeviceLiveness = z.output<typeof deviceLiveness>;
