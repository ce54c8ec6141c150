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
    deadLetterBytes: lifetime()
      .prefault('90d')
      .describe('How long the object store keeps the bytes of dead letters'),
    deadLetterIndex: lifetime()
      .prefault('365d')
      .describe('How long the index of dead letters keeps a row; not shorter than its bytes'),
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

type Retention = z.output<typeof retentionSection>;
type LevelName = keyof Retention['windows'];

/** Length of a level's parent windows, milliseconds: what of it must be stored while one of them may change. */
const PARENT_MS: Readonly<Record<Exclude<LevelName, '1h'>, number>> = {
  '1s': 10_000,
  '10s': 60_000,
  '1m': 300_000,
  '5m': 900_000,
  '15m': 3_600_000,
};
/** Clocks of devices, edges and servers differ, and a restart takes time. */
const SLACK_MS = 3_600_000;

interface Durations {
  readonly retention: Retention;
  readonly aggregator: { readonly allowedLateness: number; readonly dedupHorizon: number };
  readonly archiver: { readonly objectAge: number };
}

/** How long Kafka must keep readings: a restart reads the duplicate horizon again, the archiver an open object. */
export function neededLogMs({ aggregator, archiver }: Durations): number {
  return aggregator.dedupHorizon + aggregator.allowedLateness + archiver.objectAge + SLACK_MS;
}

/** Refuses lifetimes that could not keep what Weir promises. */
export function checkRetention(config: Durations, context: z.RefinementCtx): void {
  const { retention, aggregator } = config;
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: 'custom', path: ['retention', ...path], message });
  for (const [level, parentMs] of Object.entries(PARENT_MS)) {
    const least = parentMs + aggregator.allowedLateness;
    const kept = retention.windows[level as LevelName];
    if (kept < least) {
      refuse(
        ['windows', level],
        `${seconds(kept)} is too short: windows of the next level are made of these rows for ${seconds(least)} ` +
          `(their length and aggregator.allowedLateness). Keep them longer, or allow less lateness`,
      );
    }
  }
  const levels = Object.entries(retention.windows);
  for (const [i, [level, kept]] of levels.entries()) {
    const finer = levels[i - 1];
    if (finer !== undefined && kept < finer[1])
      refuse(
        ['windows', level],
        `must not be shorter than retention.windows.${finer[0]} (${seconds(finer[1])})`,
      );
  }
  const needed = neededLogMs(config);
  if (retention.log < needed) {
    refuse(
      ['log'],
      `${seconds(retention.log)} is too short: with aggregator.dedupHorizon, aggregator.allowedLateness, ` +
        `archiver.objectAge and an hour of margin, Kafka must keep readings for ${seconds(needed)}. Raise it, or lower those`,
    );
  }
  if (retention.deadLetterIndex < retention.deadLetterBytes)
    refuse(
      ['deadLetterIndex'],
      `${seconds(retention.deadLetterIndex)} is shorter than retention.deadLetterBytes (${seconds(retention.deadLetterBytes)})`,
    );
  if (retention.archive < retention.log)
    refuse(
      ['archive'],
      `${seconds(retention.archive)} is shorter than retention.log (${seconds(retention.log)})`,
    );
  if (retention.archiveLock !== 'none' && retention.archive < retention.archiveLockFor)
    refuse(['archive'], 'must not be shorter than retention.archiveLockFor: locked objects cannot expire');
}

/** Levels whose windows outlive the archive, and so cannot be audited or rebuilt to their end. */
export function unprovenLevels({ windows, archive }: Retention): readonly string[] {
  return Object.entries(windows).flatMap(([level, kept]) => (kept > archive ? level : []));
}

/** The part that the object store itself carries out. */
export function archiveRetention({ archive, archiveLock, archiveLockFor }: Retention) {
  return { keepMs: archive, lock: archiveLock, lockForMs: archiveLockFor };
}

const seconds = (ms: number): string => (Number.isFinite(ms) ? `${Math.round(ms / 1_000)} s` : 'for ever');
