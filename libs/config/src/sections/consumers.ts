import { z } from 'zod';
import { duration, size, whole } from '../units.ts';
import { alertRule, ruleSetProblems } from './alert-rules.ts';
import { maintenance, notifiers } from './notifiers.ts';

export const aggregatorSection = z
  .strictObject({
    outOfOrderness: duration()
      .prefault('2s')
      .describe('How far behind its newest reading a device may still deliver before a window closes'),
    allowedLateness: duration()
      .prefault('10m')
      .describe('How late a reading may be and still be merged; later is a dead letter'),
    idleTimeout: duration()
      .prefault('10s')
      .describe('Silence after which the open windows of a device are written'),
    dedupHorizon: duration()
      .prefault('2m')
      .describe('Arrival time over which a repeated reading is recognised'),
    dedupCount: whole(16, 1_000_000)
      .default(256)
      .describe('Readings of one series over which a repeated reading is recognised'),
    commitInterval: duration().prefault('500ms').describe('Time between two transactions'),
    maxUncommitted: whole(1_000, 10_000_000)
      .default(100_000)
      .describe('Readings folded but not committed; at this limit fetching pauses'),
  })
  .prefault({});

export const archiverSection = z
  .strictObject({
    objectSize: size().prefault('16MiB').describe('Uncompressed bytes at which an object is finished'),
    objectAge: duration().prefault('60s').describe('Age of its first record at which an object is finished'),
    maxBuffered: size()
      .prefault('128MiB')
      .describe('Bytes buffered over all partitions; at this limit fetching pauses'),
    compressionLevel: whole(1, 19).default(1).describe('zstd level'),
  })
  .prefault({});

const livenessSection = z
  .strictObject({
    maxDevices: whole(1, 5_000_000)
      .default(200_000)
      .describe('Devices watched for silence, about 330 bytes each; more are counted and not watched'),
    reconnect: duration()
      .prefault('2m')
      .describe('How long devices may take to come back to an edge that restarted or did not listen'),
    forget: duration()
      .prefault('7d')
      .describe('Silence after which a device is forgotten and its alert ends'),
  })
  .prefault({});

export const alerterSection = z
  .strictObject({
    prefetch: whole(1, 10_000).default(50).describe('Messages taken at a time'),
    maxScored: whole(0, 100_000)
      .default(200)
      .describe('Series that rules about anomalies score, 0.5 MB each; the others are told and left out'),
    rules: z
      .array(alertRule)
      .superRefine((rules, context) => {
        for (const { index, key, message } of ruleSetProblems(rules))
          context.addIssue({ code: 'custom', path: [index, key], message });
      })
      .default([])
      .describe('Rules of all kinds, see the README of the alerter'),
    notifiers,
    maintenance,
    liveness: livenessSection,
  })
  .prefault({});

export const gatewaySection = z
  .strictObject({
    cacheTtl: duration().prefault('2s').describe('Age up to which a cached answer is fresh'),
    staleTtl: duration()
      .prefault('60s')
      .describe('Age up to which a stale answer is served while the database is away'),
    catchUpAfter: duration()
      .prefault('30s')
      .describe('Time lag of the windows from which on newest values come from the live feed'),
    silentAfter: duration()
      .prefault('60s')
      .describe(
        'A device of which nothing arrived for so long is shown as silent; its row is up to 15 s behind, so not less than 20s',
      ),
    alerters: z
      .string()
      .default('')
      .describe('Admin addresses of the alerters, with commas between; empty: the one of this installation'),
    rateLimit: whole(1, 1_000_000).default(600).describe('API requests a minute of one client address'),
    liveBuffer: whole(1, 1_000_000)
      .default(5_000)
      .describe('Readings waiting for one WebSocket client; the oldest are dropped and counted'),
    liveClients: whole(1, 100_000).default(200).describe('WebSocket clients at a time'),
  })
  .prefault({});
