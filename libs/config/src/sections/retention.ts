import { z } from 'zod';
import { duration, lifetime } from '../units.ts';

const level = (name: string, keep: string) =>
  lifetime().prefault(keep).describe(`How long windows of ${name} are kept`);

export const retentionSection = z
  .strictObject({
    windows: z
      .strictObject({
        '1s': level('1 s', '1h'),
        '10s': level('10 s', '6h'),
        '1m': level('1 min', '7d'),
        '5m': level('5 min', '30d'),
        '15m': level('15 min', '180d'),
        '1h': level('1 h', '1825d'),
      })
      .prefault({}),
    interval: duration().prefault('5m').describe('Time between two runs of the maintenance job'),
    compressAfter: lifetime()
      .prefault('2d')
      .describe('Age at which chunks are compressed, where the TimescaleDB edition has compression'),
    log: duration().prefault('7d').describe('How long Kafka keeps readings'),
    deadLetters: duration().prefault('30d').describe('How long Kafka keeps dead letters'),
    archive: lifetime().prefault('forever').describe('How long the object store keeps the raw archive'),
    archiveLock: z
      .enum(['none', 'governance', 'compliance'])
      .default('none')
      .describe('Object lock of the archive; taken when the bucket is created, not later'),
    archiveLockFor: duration()
      .prefault('30d')
      .describe('How long a locked object cannot be deleted or replaced; whole days'),
  })
  .prefault({});
