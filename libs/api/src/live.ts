import { z } from 'zod';
import { alert } from './alerts.ts';

export const liveQuery = z.strictObject({
  site: z.string().max(64).optional(),
  device: z.string().max(128).optional(),
});

export const liveReading = z.object({
  site: z.string(),
  device: z.string(),
  metric: z.string(),
  value: z.number(),
  unit: z.string().optional(),
  ts: z.number().describe('Event time, epoch milliseconds'),
  at: z.number().optional().describe('Arrival at the edge, epoch milliseconds'),
});
export type LiveReading = z.output<typeof liveReading>;

/** What the gateway sends on `/api/v1/live`, one JSON object in each text frame. */
export const liveMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    site: z.string().nullable(),
    device: z.string().nullable(),
    buffer: z.number().int().describe('Readings that may wait for this client before the oldest are dropped'),
  }),
  z.object({
    type: z.literal('readings'),
    readings: z.array(liveReading),
    dropped: z.number().int().describe('Readings dropped for this client since the message before'),
  }),
  z.object({ type: z.literal('alert'), alert }),
  z.object({
    type: z.literal('feed'),
    connected: z.boolean().describe('Whether RabbitMQ feeds the gateway'),
  }),
]);
export type LiveMessage = z.output<typeof liveMessage>;
