import { type DeadLetter, parseDeadLetter } from '@weir/reading';
import type { LogReader } from './types.ts';

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
