import { z } from 'zod';
import { aggregatorSection, alerterSection, archiverSection, gatewaySection } from './sections/consumers.ts';
import { deadLettersSection } from './sections/dead-letters.ts';
import { derivedSection } from './sections/derived.ts';
import { edgeSection } from './sections/edge.ts';
import { lagMonitorSection } from './sections/lag-monitor.ts';
import { checkRetention, retentionSection } from './sections/retention.ts';
import { checkRollups, devicesSection, rollupsSection } from './sections/rollups.ts';
import {
  kafkaSection,
  logSection,
  minioSection,
  portsSection,
  rabbitmqSection,
  redisSection,
  timescaleSection,
} from './sections/servers.ts';

/** The whole of weir.yaml. Every app reads the whole and uses its part. */
export const schema = z
  .strictObject({
    namespace: z
      .string()
      .regex(/^[a-z0-9-]{0,40}$/, 'lower-case letters, digits and - only')
      .default('')
      .describe('Prefix of Kafka topics, bucket and cache keys, for several installations on shared servers'),
    ports: portsSection,
    log: logSection,
    kafka: kafkaSection,
    rabbitmq: rabbitmqSection,
    timescale: timescaleSection,
    minio: minioSection,
    redis: redisSection,
    edge: edgeSection,
    aggregator: aggregatorSection,
    archiver: archiverSection,
    alerter: alerterSection,
    gateway: gatewaySection,
    deadLetters: deadLettersSection,
    lagMonitor: lagMonitorSection,
    retention: retentionSection,
    devices: devicesSection,
    rollups: rollupsSection,
    derived: derivedSection,
  })
  .superRefine(checkRetention)
  .superRefine(checkRollups);
export type Config = z.output<typeof schema>;
