import type { KafkaRecord, LogReader, PartitionOffsets } from '@weir/connect-kafka';
import { splitLines } from '@weir/reading';
import { compared, type Effort, type FoundLine, type Wanted } from './wanted.ts';

/** A line in Kafka, and the time of its record: the arrival of the record's first line at its edge. */
export interface LoggedLine extends FoundLine {
  readonly recordAt: number;
}

/** Bytes (as stored) of one look into the log, and of one that reads on. */
const LOOK_BYTES = 64 << 10;
const READ_BYTES = 1 << 20;
/** Looks after which it is not known on which side of a place a rare device stands. */
const LOOKS = 8;
/** Devices send a little out of order: reading begins this much before the place that was found. */
const MARGIN_MS = 60_000;
const CLOSE = 16n;

const MAX_OFFSET = 1n << 62n;

function* matches(
  partition: number,
  records: readonly KafkaRecord[],
  wanted: Wanted,
  end = MAX_OFFSET,
): Generator<{ readonly found: LoggedLine; readonly side: number }> {
  for (const { offset, value, timestamp } of records) {
    if (offset >= end) return;
    if (!value.includes(wanted.mark)) continue;
    for (const { found, side } of compared({ partition, offset, lines: splitLines(value) }, wanted))
      yield { found: { ...found, recordAt: timestamp }, side };
  }
}

/** The record at an offset; null when the log does not hold it. */
export async function recordAt(
  log: LogReader,
  { partition, start, end }: PartitionOffsets,
  offset: bigint,
): Promise<KafkaRecord | null> {
  if (offset < start || offset >= end) return null;
  const [record] = await log.read(partition, offset, LOOK_BYTES);
  return record?.offset === offset ? record : null;
}

/**
 * The line in one partition. A device's lines stand in the order of their numbers and nearly in that of their times,
 * so the place is bisected by looking at single records, and read on from there: never the whole log.
 */
export async function searchPartition(
  log: LogReader,
  range: PartitionOffsets,
  wanted: Wanted,
  effort: Effort,
): Promise<LoggedLine | null> {
  const { partition } = range;
  let low = range.start;
  let high = range.end;
  let near: bigint | null = null;
  while (high - low > CLOSE && !effort.spent) {
    const middle = (low + high) / 2n;
    const look = await firstFrom(log, partition, middle, high, wanted, effort);
    if (look === 'unknown') break;
    if (look === null || look.side > 0) high = middle;
    else if (look.side === 0) return look.found;
    else {
      near = look.found.offset;
      low = look.found.offset + 1n;
    }
  }
  return readOn(log, range, near ?? low, wanted, effort);
}

/** The first line from `from` on that can be compared; null: there is none before `to`. */
async function firstFrom(
  log: LogReader,
  partition: number,
  from: bigint,
  to: bigint,
  wanted: Wanted,
  effort: Effort,
): Promise<{ readonly found: LoggedLine; readonly side: number } | null | 'unknown'> {
  let next = from;
  for (let looks = 0; next < to && looks < LOOKS && !effort.spent; looks++) {
    const records = await log.read(partition, next, looks === 0 ? LOOK_BYTES : READ_BYTES);
    const last = records.at(-1);
    if (last === undefined) return null;
    const first = matches(partition, records, wanted, to).next();
    if (first.done !== true) return first.value;
    next = last.offset + 1n;
  }
  return next >= to ? null : 'unknown';
}

async function readOn(
  log: LogReader,
  { partition, start, end }: PartitionOffsets,
  place: bigint,
  wanted: Wanted,
  effort: Effort,
): Promise<LoggedLine | null> {
  if (start >= end) return null;
  const [at] = await log.read(partition, place < end ? place : end - 1n, LOOK_BYTES);
  const earlier = at === undefined ? start : await log.offsetAt(partition, at.timestamp - MARGIN_MS);
  let next = earlier < start ? start : earlier < place ? earlier : place;
  const began = next;
  while (next < end) {
    const records = await log.read(partition, next, READ_BYTES);
    const last = records.at(-1);
    if (last === undefined) break;
    for (const { found, side } of matches(partition, records, wanted)) if (side === 0) return found;
    next = last.offset + 1n;
    if (effort.spent) break;
  }
  effort.note(
    `Kafka partition ${partition}, offsets ${began} to ${next - 1n} (it holds ${start} to ${end - 1n})`,
  );
  return null;
}

/** The last line of a device, from a time on at which it was heard; else from the end of the log backwards. */
export async function searchNewest(
  log: LogReader,
  { partition, start, end }: PartitionOffsets,
  wanted: Wanted,
  heardAt: number | null,
  effort: Effort,
): Promise<LoggedLine | null> {
  const lastOf = async (from: bigint, to: bigint): Promise<LoggedLine | null> => {
    let newest: LoggedLine | null = null;
    for (let next = from; next < to && !effort.spent; ) {
      const records = await log.read(partition, next, READ_BYTES);
      const last = records.at(-1);
      if (last === undefined) break;
      for (const { found } of matches(partition, records, wanted, to)) newest = found;
      next = last.offset + 1n;
    }
    return newest;
  };
  const clamp = (offset: bigint): bigint => (offset < start ? start : offset > end ? end : offset);
  if (heardAt !== null) {
    const found = await lastOf(clamp(await log.offsetAt(partition, heardAt - 2_000)), end);
    if (found !== null) return found;
  }
  let to = end;
  for (let step = 64n; to > start && !effort.spent; step *= 4n) {
    const from = clamp(to - step);
    const found = await lastOf(from, to);
    if (found !== null) return found;
    to = from;
  }
  effort.note(
    `Kafka partition ${partition}, offsets ${to} to ${end - 1n} (it holds ${start} to ${end - 1n})`,
  );
  return null;
}
