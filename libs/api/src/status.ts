import { z } from 'zod';
import { instant } from './common.ts';

export const STAGES = [
  'devices',
  'edge',
  'spool',
  'kafka',
  'aggregator',
  'timescale',
  'archiver',
  'minio',
  'rabbitmq',
  'alerter',
  'live',
  'dead-letters',
] as const;
export type StageId = (typeof STAGES)[number];

export const stageState = z
  .enum(['ok', 'degraded', 'down', 'unknown'])
  .describe('unknown: nobody could be asked about it');
export type StageState = z.output<typeof stageState>;

export const figure = z.object({
  name: z.string(),
  value: z.number().nullable().describe('null: not known now'),
  unit: z.string().describe('As printed after the value; may be empty'),
});
export type Figure = z.output<typeof figure>;

export const stage = z
  .object({
    id: z.enum(STAGES),
    name: z.string(),
    state: stageState,
    detail: z.string().describe('One sentence saying why the stage is in its state'),
    rate: z.number().nullable().describe('What passes through it, per second; see rateUnit'),
    rateUnit: z.string(),
    figures: z.array(figure),
  })
  .meta({ id: 'Stage' });
export type Stage = z.output<typeof stage>;

const count = z.number().nullable();
const edge = z
  .object({
    url: z.string().describe('Where it answers'),
    state: stageState,
    detail: z.string().describe('One sentence saying why it is in its state'),
    readingsPerSecond: count,
    acknowledgedPerSecond: count,
    acknowledged: count.describe('Readings acknowledged since it started'),
    connections: count.describe('MQTT connections'),
  })
  .meta({ id: 'EdgeStatus' });
export const status = z
  .object({
    at: instant.describe('When these figures were collected'),
    state: stageState,
    figures: z.object({
      readingsPerSecond: count.describe('Readings that the edge takes in'),
      acknowledgedPerSecond: count.describe('Readings made durable and acknowledged'),
      acknowledged: count.describe('Readings acknowledged since the edge started'),
      windowsPerSecond: count,
      windowsWritten: count.describe('Window rows written since the aggregator started'),
      objectsArchived: count.describe('Objects put since the archiver started'),
      bytesArchived: count,
      lag: count.describe('Kafka records that the aggregator has not committed'),
      archiveLag: count.describe('Kafka records that the archiver has not committed'),
      deadLetters: count.describe(
        'Dead letters that nobody has dealt with yet; while their app does not answer, those in Kafka and RabbitMQ',
      ),
      firingAlerts: count,
      connections: count.describe('MQTT connections'),
      liveClients: count.describe('WebSocket clients of this gateway'),
    }),
    stages: z.array(stage),
    edges: z.array(edge).describe('Each edge that is known; the figures are their sums'),
    doors: z
      .object({ mqtt: z.number().int(), http: z.number().int() })
      .describe('Ports of the edge to which devices publish'),
  })
  .meta({ id: 'Status' });
export type Status = z.output<typeof status>;
