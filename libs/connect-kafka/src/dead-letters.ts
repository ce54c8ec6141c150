import { WeirError } from '@weir/flow';
import {
  type DeadLetter,
  ENVELOPE_CODEC,
  forceLine,
  parseDeadLetter,
  type Replay,
  replayHeaders,
} from '@weir/reading';
import { RECORD_HEADERS } from '@weir/topology';
import type { LogReader, OutgoingRecord } from './types.ts';

/** A dead letter where it lies. */
export interface StoredLetter {
  readonly letter: DeadLetter;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Buffer | null;
  /** The original bytes. */
  readonly value: Buffer;
}

export interface LetterRange {
  /** Buried from here on, epoch milliseconds. */
  readonly from?: number;
  /** Buried before here. */
  readonly to?: number;
  /** Only this partition of the topic: letters of one device lie in one. */
  readonly partition?: number;
}

/**
 * The letters that are in the topic now, partition by partition, in the order in which they were buried. What is added
 * meanwhile is left for the next call. A letter that was buried again after a crash comes twice, with one id.
 */
export async function* readLetters(log: LogReader, range: LetterRange = {}): AsyncGenerator<StoredLetter> {
  const { from, to = Number.POSITIVE_INFINITY } = range;
  for (const { partition, start, end } of await log.ends()) {
    if (range.partition !== undefined && partition !== range.partition) continue;
    const first = from === undefined ? start : await log.offsetAt(partition, from);
    for (let next = first < start ? start : first; next < end; ) {
      const records = await log.read(partition, next);
      if (records.length === 0) break; // retention overtook the reading
      for (const { offset, key, value, headers } of records) {
        next = offset + 1n;
        if (offset >= end) break;
        const letter = parseDeadLetter(headers);
        if (letter === null || letter.lastFailedAt < (from ?? 0) || letter.lastFailedAt >= to) continue;
        yield { letter, partition, offset, key, value };
      }
    }
  }
}

/**
 * The record that brings the late readings of a letter back: its line, marked, into the partition that it came from.
 * Throws a data error when the letter does not say which readings it is about.
 */
export function lateReplay(
  { letter, key, value }: Pick<StoredLetter, 'letter' | 'key' | 'value'>,
  replay: Replay,
): OutgoingRecord {
  const { kafka, readings } = letter;
  if (kafka === undefined || readings === undefined)
    throw new WeirError('WEIR_REJECTED', 'data', `dead letter ${letter.id} does not say where it came from`);
  const forced = { offset: kafka.offset, readings, task: replay.task };
  return {
    partition: kafka.partition,
    key,
    value: Buffer.from(`${forceLine(value.toString('utf8'), forced)}\n`),
    headers: {
      [RECORD_HEADERS.codec]: ENVELOPE_CODEC,
      [RECORD_HEADERS.count]: '1',
      ...replayHeaders(letter, replay),
    },
  };
}
