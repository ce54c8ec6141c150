import { DEAD_LETTER_REASONS } from '@weir/flow';
import { z } from 'zod';
import { duration, size, whole } from '../units.ts';

const policy = z.strictObject({
  reason: z.enum(DEAD_LETTER_REASONS).describe('Letters that are sent again by themselves'),
  rate: whole(1, 1_000_000).default(50).describe('Letters a second, at most'),
  healthyFor: duration()
    .prefault('1m')
    .describe('How long somebody must have read their destination without falling behind'),
});

export const deadLettersSection = z
  .strictObject({
    packSize: size().prefault('4MiB').describe('Bytes of letters at which a pack is stored'),
    packAge: duration().prefault('500ms').describe('Age of its first letter at which a pack is stored'),
    packLetters: whole(1, 20_000).default(1_000).describe('Letters at which a pack is stored'),
    prefetch: whole(1, 10_000).default(1_000).describe('Letters taken from a RabbitMQ queue at a time'),
    maxReplays: whole(1, 1_000)
      .default(3)
      .describe('A letter that comes back after so many replays is parked'),
    replayRate: whole(1, 1_000_000)
      .default(2_000)
      .describe('Letters that a replay sends a second at most, unless it says otherwise'),
    maxLag: whole(1, 1_000_000_000)
      .default(20_000)
      .describe(
        'Records or messages that may wait at the destination of a replay; beyond it the replay pauses',
      ),
    policies: z
      .array(policy)
      .refine(
        (all) => new Set(all.map(({ reason }) => reason)).size === all.length,
        'one policy for a reason',
      )
      .prefault([{ reason: 'sink-unavailable' }])
      .describe('Reasons whose letters are sent again by themselves: reason, rate, healthyFor'),
  })
  .prefault({});
