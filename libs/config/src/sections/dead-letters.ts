import { z } from 'zod';
import { duration, size, whole } from '../units.ts';

export const deadLettersSection = z
  .strictObject({
    packSize: size().prefault('4MiB').describe('Bytes of letters at which a pack is stored'),
    packAge: duration().prefault('500ms').describe('Age of its first letter at which a pack is stored'),
    packLetters: whole(1, 20_000).default(1_000).describe('Letters at which a pack is stored'),
    prefetch: whole(1, 10_000).default(1_000).describe('Letters taken from a RabbitMQ queue at a time'),
    maxReplays: whole(1, 1_000)
      .default(3)
      .describe('A letter that comes back after so many replays is parked'),
  })
  .prefault({});
