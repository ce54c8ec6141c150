import type { LogReader, PartitionOffsets } from '@weir/connect-kafka';
import type { ArchiveObject, ArchiveReader } from '@weir/connect-minio';
import { type Database, readDevice } from '@weir/connect-timescale';
import { decodeEnvelope, partitionOf, splitLines } from '@weir/reading';
import { READINGS_PARTITIONS } from '@weir/topology';
import { ArchiveHours, searchLines, searchRecord } from './search-archive.ts';
import { recordAt, searchNewest, searchPartition } from './search-log.ts';
import type { Target } from './target.ts';
import { type Effort, type FoundLine, wantedOf } from './wanted.ts';

/** Where a line was found first. */
export interface Found extends FoundLine {
  /** Time of its record in Kafka (arrival of the record's first line at its edge); null when Kafka lets go of it. */
  readonly recordAt: number | null;
  /** Known when it was read from the archive. */
  readonly object: ArchiveObject | null;
}

export interface Places {
  readonly log: LogReader;
  readonly archive: ArchiveReader;
  readonly database: Database;
}

/** The line that a target means: in Kafka, and in the archive when Kafka's log begins later. */
export async function find(target: Target, places: Places, effort: Effort): Promise<Found | null> {
  const ranges = await places.log.ends();
  if (target.kind === 'record') return findRecord(target, ranges, places, effort);
  if (target.kind === 'spool') {
    const found = await Promise.all(ranges.map((range) => findIn(target, range, places, effort)));
    return found.find((one) => one !== null) ?? null;
  }
  const range = ranges[partitionOf(target.device, READINGS_PARTITIONS)];
  return range === undefined ? null : findIn(target, range, places, effort);
}

async function findIn(
  target: Exclude<Target, { kind: 'record' }>,
  range: PartitionOffsets,
  { log, archive, database }: Places,
  effort: Effort,
): Promise<Found | null> {
  const wanted = wantedOf(target);
  if (target.kind === 'newest') {
    const known = await readDevice(database, target.site, target.device);
    const newest = await searchNewest(log, range, wanted, known?.lastSeen ?? null, effort);
    return newest === null ? null : { ...newest, object: null };
  }
  const logged = await searchPartition(log, range, wanted, effort);
  if (logged !== null) return { ...logged, object: null };
  if (range.start === 0n || effort.spent) return null;
  const hours = new ArchiveHours(archive, range.partition);
  const archived = await searchLines(
    archive,
    hours,
    range.partition,
    await beginning(log, range),
    wanted,
    effort,
  );
  return archived === null ? null : { ...archived, recordAt: null };
}

async function findRecord(
  { partition, offset, line = 0 }: Extract<Target, { kind: 'record' }>,
  ranges: readonly PartitionOffsets[],
  { log, archive }: Places,
  effort: Effort,
): Promise<Found | null> {
  const range = ranges[partition];
  if (range === undefined) return null;
  const record = await recordAt(log, range, offset);
  const made = (lines: readonly string[], at: number | null, object: ArchiveObject | null): Found | null => {
    const text = lines[line];
    if (text === undefined) {
      effort.note(`offset ${offset} of partition ${partition}, which has ${lines.length} lines`);
      return null;
    }
    const envelope = decodeEnvelope(text);
    return { partition, offset, line, lines: lines.length, text, envelope, recordAt: at, object };
  };
  if (record !== null) return made(splitLines(record.value), record.timestamp, null);
  effort.note(`Kafka partition ${partition}, which holds the offsets ${range.start} to ${range.end - 1n}`);
  if (offset >= range.start) return null;
  const hours = new ArchiveHours(archive, partition);
  const archived = await searchRecord(archive, hours, offset, await beginning(log, range), effort);
  return archived === null ? null : made(archived.lines, null, archived.object);
}

/** The time at which Kafka's log begins, epoch milliseconds. */
async function beginning(log: LogReader, { partition, start, end }: PartitionOffsets): Promise<number> {
  const [first] = start < end ? await log.read(partition, start, 1) : [];
  return first?.timestamp ?? Date.now();
}
