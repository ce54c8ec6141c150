import { z } from 'zod';
import { duration, flag, size, whole } from '../units.ts';
import { zones } from '../zones.ts';

const spool = z
  .strictObject({
    dir: z.string().default('.weir/edge/spool').describe('Folder of the segment files'),
    maxSize: size().prefault('2GiB').describe('Bytes that may wait on disk for the slower destination'),
    segmentSize: size().prefault('64MiB').describe('Size at which a new segment file begins'),
    whenFull: z
      .enum(['block', 'drop-oldest', 'drop-newest', 'prioritize'])
      .default('prioritize')
      .describe(
        'What happens at maxSize; prioritize and block stop acknowledging, prioritize keeps a tenth for critical readings',
      ),
    memory: size().prefault('16MiB').describe('Bytes kept in memory for a forwarder that is caught up'),
  })
  .prefault({});

const limits = z
  .strictObject({
    packetSize: size().prefault('256KiB').describe('Largest MQTT packet'),
    inflight: whole(1, 65_535)
      .default(100)
      .describe('QoS 1 and 2 publishes of one connection waiting for their acknowledgement'),
    connectTime: duration().prefault('5s').describe('Time a new connection has for its CONNECT packet'),
    keepaliveMax: duration()
      .prefault('20m')
      .describe('Longest keepalive accepted; a device that asks for more, or for none, is held to this'),
    connections: whole(1, 1_000_000).default(18_000).describe('MQTT connections at a time'),
    connectRate: whole(1, 1_000_000)
      .default(500)
      .describe('Connections let in a second, averaged over a second; more wait for their turn'),
    publishRate: whole(1, 1_000_000)
      .default(5_000)
      .describe('Publishes a second of one device, averaged over a second; more is slowed down'),
    subscriptions: whole(1, 10_000).default(50).describe('Subscriptions of one device'),
    topicSize: size().prefault('1KiB').describe('Longest topic or topic filter'),
    outwardBuffer: size()
      .prefault('1MiB')
      .describe('Bytes that may wait for one slow reader; beyond, it is disconnected'),
    partialPackets: size()
      .prefault('64MiB')
      .describe('Bytes of all packets together that have begun but not ended'),
    queuedMessages: whole(1, 1_000_000)
      .default(1_000)
      .describe('Messages kept for one client that is away (clean session 0)'),
    httpConcurrency: whole(1, 100_000)
      .default(256)
      .describe('HTTP requests being handled at a time; more get 429'),
    httpBody: size().prefault('1MiB').describe('Largest HTTP body'),
  })
  .prefault({});

const which = {
  site: z.string().min(1).default('*').describe('Site, or * for all'),
  device: z.string().min(1).default('*').describe('Device, or * for all'),
  metric: z.string().min(1).default('*').describe('Metric, or * for all'),
};
const singleRoute = z.strictObject(which);
const classRule = z.strictObject({
  ...which,
  topic: z.string().min(1).optional().describe('MQTT topic filter, with + and #'),
  above: z.coerce.number().optional().describe('Values above this; with below: outside of both'),
  below: z.coerce.number().optional().describe('Values below this'),
  class: z.enum(['normal', 'critical']).default('critical').describe('Class of these readings'),
});

export const edgeSection = z
  .strictObject({
    id: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, - and _ only')
      .default('edge-1')
      .describe('Name of this edge'),
    dir: z.string().default('.weir/edge').describe('Folder of sessions and retained messages'),
    anonymous: flag()
      .default(false)
      .describe('Development mode: devices need no credentials; refused on any address but loopback'),
    credentialsFile: z.string().default('').describe('Device credentials (JSON lines); empty: the database'),
    credentialsRefresh: duration().prefault('5s').describe('How often changed credentials are read'),
    tls: z
      .strictObject({
        certFile: z.string().default('').describe('Certificate chain, PEM; empty: no TLS listener'),
        keyFile: z.string().default('').describe('Private key, PEM'),
      })
      .prefault({}),
    topics: z
      .strictObject({
        telemetry: z
          .string()
          .default('telemetry/v1/{site}/{device}')
          .describe('Topic template of readings; a last level names the metric'),
        events: z
          .string()
          .default('events/v1/{site}/{device}/{kind}')
          .describe('Topic template of device events'),
        commands: z
          .string()
          .default('cmd/v1/{site}/{device}/{name}')
          .describe('Topic template of commands to a device'),
      })
      .prefault({}),
    maxFuture: duration()
      .prefault('15m')
      .describe('How far a device time may lie ahead of the arrival; beyond is a dead letter'),
    timeZones: zones()
      .default({})
      .describe(
        'Site to IANA time zone, for stamps that name none (`*`: every other site); without it they are refused',
      ),
    clockAhead: duration()
      .prefault('10s')
      .describe('How far ahead the clock of another edge may be; beyond it is not followed'),
    maxReadingsPerMessage: whole(1, 100_000).default(1_000).describe('Readings in one publish or HTTP array'),
    spool,
    limits,
    forward: z
      .strictObject({
        kafkaBatch: size().prefault('1MiB').describe('Bytes taken from the spool for one Kafka request'),
        packed: flag()
          .default(true)
          .describe('Pack the readings of a partition into one Kafka record; false: one publish a record'),
        rabbitmqBatch: size()
          .prefault('512KiB')
          .describe('Bytes taken from the spool for one round of RabbitMQ publishes'),
        linger: duration().prefault('20ms').describe('Least time between two rounds, so that batches fill'),
        classes: z
          .array(classRule)
          .default([])
          .describe(
            'Which readings are critical, first match first: list of {topic, site, device, metric, above, below, class}',
          ),
        criticalMetrics: z
          .string()
          .default('')
          .describe(
            'Comma-separated metrics whose readings are critical: short for rules behind those of classes',
          ),
        perReading: z
          .array(singleRoute)
          .default([])
          .describe(
            'Readings that travel alone, with the device in their routing key: list of {site, device, metric}',
          ),
      })
      .prefault({}),
  })
  .prefault({});
