import { type LogReader, readLetters } from '@weir/connect-kafka';
import type { ArchiveObject, ArchiveReader } from '@weir/connect-minio';
import {
  alertsAt,
  areCounted,
  type Database,
  foldedTo,
  readDevice,
  type TracedAlert,
  type TracedWindow,
  windowsAt,
} from '@weir/connect-timescale';
import { type LetterStatus, listLetters } from '@weir/dead-letters';
import type { DeadLetterReason } from '@weir/flow';
import { letterIdAt, partitionOf, type Reading, readingsOf } from '@weir/reading';
import type { KafkaTopology } from '@weir/topology';
import { LEVEL_MS, lateIdentity, levelIndex } from '@weir/windows';
import type { Found } from './find.ts';
import { ArchiveHours } from './search-archive.ts';
import type { Effort } from './wanted.ts';

export interface HopSources {
  readonly letters: LogReader;
  readonly archive: ArchiveReader;
  readonly database: Database;
  readonly topology: KafkaTopology;
  /** First offset that the archiver has not stored; null: unknown. */
  readonly archivedTo: bigint | null;
  /** Whether the index of dead letters holds all that lie in a partition of their topic. */
  readonly isIndexed: (partition: number) => boolean;
  readonly allowedLatenessMs: number;
}

/** A dead letter about the line. */
export interface TracedLetter {
  readonly id: string;
  readonly reason: DeadLetterReason;
  readonly at: Date;
  readonly message: string;
  readonly readings: readonly number[] | null;
  /** Null: it is not in the index yet. */
  readonly status: LetterStatus | null;
}

/** Everything that is known of the way of one line. */
export interface Hops {
  readonly found: Found;
  readonly readings: readonly Reading[];
  /** Event time of the reading that the trace is about, epoch milliseconds. */
  readonly ts: number;
  readonly archive: { readonly object: ArchiveObject | null; readonly archived: boolean | null };
  /** First offset that is not in the windows; null: nobody folds. */
  readonly foldedTo: bigint | null;
  readonly windows: readonly (TracedWindow & { readonly isFinal: boolean | null })[];
  readonly letters: readonly TracedLetter[];
  /** By index of the reading: the record that brought a late one back. */
  readonly broughtBack: ReadonlyMap<number, bigint>;
  readonly alerts: readonly TracedAlert[];
  readonly clock: { readonly offsetMs: number; readonly errorMs: number } | null;
}

/** Reasons with which the aggregator buries a line. */
const REASONS: readonly DeadLetterReason[] = ['late', 'decode', 'schema', 'range', 'clock-skew'];
/** Metrics whose windows are asked for: a payload may hold hundreds. */
const MOST_METRICS = 8;
/** A letter is as old as its record, less what the clocks of edge and aggregator differ. */
const CLOCKS_MS = 60_000;

/** @param isMeant the reading of the line that the trace is about; the first when none is */
export async function followHops(
  found: Found,
  isMeant: (reading: Reading) => boolean,
  sources: HopSources,
  effort: Effort,
): Promise<Hops> {
  const { database, topology, allowedLatenessMs } = sources;
  const { envelope, partition, offset } = found;
  const { site, device } = envelope;
  const readings = readingsOf(envelope);
  const ts = (readings.find(isMeant) ?? readings[0])?.ts ?? envelope.at;
  const together = readings.filter((reading) => reading.ts === ts).map(({ metric }) => metric);
  const metrics = [...new Set(together)].slice(0, MOST_METRICS);
  const identities = readings.map((reading, index) => lateIdentity(envelope, reading, index));
  const [known, folded, windows, alerts, counted, object, letters] = await Promise.all([
    readDevice(database, site, device),
    foldedTo(database, topology.readings.name, partition),
    windowsAt(database, site, device, metrics, ts),
    alertsAt(database, site, device, ts),
    areCounted(database, identities),
    objectOf(found, sources),
    lettersOf(found, sources, effort),
  ]);
  const watermark = known?.watermark ?? null;
  const broughtBack = new Map<number, bigint>();
  for (const [index, identity] of identities.entries()) {
    const replay = counted.get(identity);
    if (replay !== undefined) broughtBack.set(index, replay);
  }
  return {
    found,
    readings,
    ts,
    archive: {
      object,
      archived: object !== null || (sources.archivedTo === null ? null : offset < sources.archivedTo),
    },
    foldedTo: folded,
    windows: windows.map((window) => ({
      ...window,
      isFinal: watermark === null ? null : endOf(window) + allowedLatenessMs <= watermark,
    })),
    letters,
    broughtBack,
    alerts,
    clock: known?.clock ?? null,
  };
}

const endOf = ({ start, level }: TracedWindow): number =>
  start.getTime() + (LEVEL_MS[levelIndex(level)] as number);

async function objectOf(found: Found, { archive, archivedTo }: HopSources): Promise<ArchiveObject | null> {
  if (found.object !== null) return found.object;
  if (archivedTo !== null && found.offset >= archivedTo) return null;
  return new ArchiveHours(archive, found.partition).holding(
    found.offset,
    found.recordAt ?? found.envelope.at,
  );
}

/** From the index; from Kafka while that may lag behind. */
async function lettersOf(found: Found, sources: HopSources, effort: Effort): Promise<TracedLetter[]> {
  const { partition, offset, line, envelope } = found;
  const { database, topology, isIndexed } = sources;
  const ids = REASONS.map((reason) => letterIdAt(topology.readings.name, partition, offset, line, reason));
  const letters = await listLetters(database, { ids }, { order: 'oldest', limit: ids.length });
  const buriedIn = partitionOf(envelope.device, topology.deadLetters.partitions);
  if (letters.length === 0 && !isIndexed(buriedIn))
    return lettersInKafka(found, new Set(ids), buriedIn, sources, effort);
  return letters.map(({ id, reason, lastFailedAt, errorMessage, readings, status }) => ({
    ...{ id, reason, at: lastFailedAt, message: errorMessage, readings, status },
  }));
}

async function lettersInKafka(
  { recordAt, envelope }: Found,
  ids: ReadonlySet<string>,
  partition: number,
  sources: HopSources,
  effort: Effort,
): Promise<TracedLetter[]> {
  const found = new Map<string, TracedLetter>();
  const range = { from: (recordAt ?? envelope.at) - CLOCKS_MS, partition };
  let read = 0;
  for await (const { letter } of readLetters(sources.letters, range)) {
    read++;
    if (ids.has(letter.id)) {
      const { id, reason, errorMessage, lastFailedAt } = letter;
      const readings = letter.readings ?? null;
      found.set(id, {
        ...{ id, reason, at: new Date(lastFailedAt), message: errorMessage, readings, status: null },
      });
    }
    if (effort.spent) {
      effort.note(`the ${read} dead letters after ${new Date(range.from).toISOString()}; there are more`);
      break;
    }
  }
  return [...found.values()];
}
