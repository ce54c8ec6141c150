import type { DeadLetterReason } from '@weir/flow';
import type { DeadLetter } from '@weir/reading';

export type LetterStatus = 'open' | 'parked' | 'replayed' | 'purged';
/** What the bytes are, as far as one can see without knowing what they were meant to be. */
export type LetterContent = 'json' | 'lines' | 'text' | 'binary' | 'empty';

/** Where bytes lie in the object store. */
export interface Place {
  readonly object: string;
  readonly offset: number;
}

/** A row of the index, without what is long. */
export interface Letter {
  readonly id: string;
  /** Order of indexing; letters of one device keep the order in which they were buried. */
  readonly seq: bigint;
  readonly reason: DeadLetterReason;
  readonly stage: string;
  /** Empty when it is not known; so is `device`. */
  readonly site: string;
  readonly device: string;
  readonly fingerprint: string;
  readonly errorClass: string;
  readonly errorMessage: string;
  readonly originSystem: DeadLetter['originSystem'];
  /** The topic, path or queue that the bytes came from. */
  readonly origin: string;
  /** `<topic>/<partition>/<offset>`, or the dead-letter queue. */
  readonly foundIn: string;
  readonly firstFailedAt: Date;
  readonly lastFailedAt: Date;
  readonly originalAt: Date;
  readonly arrivedAt: Date;
  readonly retryable: boolean;
  /** Indexes among the readings of the line; null: the letter is about all of it. */
  readonly readings: readonly number[] | null;
  /** How often it was sent again. */
  readonly replayCount: number;
  /** The replay count with which it came back last; 0 when it never did. */
  readonly returnedCount: number;
  readonly status: LetterStatus;
  readonly statusAt: Date | null;
  readonly statusBy: string | null;
  readonly statusWhy: string | null;
  /** Null when there are no bytes (`length` 0), or none any more (`bytesRemovedAt`). */
  readonly place: Place | null;
  /** Of the original bytes. */
  readonly length: number;
  /** Of the original bytes, in hex. */
  readonly sha256: string;
  readonly content: LetterContent;
  readonly bytesRemovedAt: Date | null;
}

/** A header that is no text is `{ base64 }`; those of RabbitMQ may be nested. */
export type LetterHeaders = Readonly<Record<string, unknown>>;

/** A row of the index as a whole. */
export interface FullLetter extends Letter {
  readonly key: Buffer | null;
  /** As they came, untouched. */
  readonly headers: LetterHeaders;
  /** Of a message of RabbitMQ: `contentType`, `messageId`. */
  readonly properties: Readonly<Record<string, string>>;
}

/** The record in Kafka that a letter was buried from, as its headers (KIP-1191) tell; null when it came from elsewhere. */
export function kafkaPlace(headers: LetterHeaders): DeadLetter['kafka'] | null {
  const text = (name: string): string | null => {
    const value = headers[`__dlq.errors.${name}`];
    return typeof value === 'string' ? value : null;
  };
  const topic = text('topic');
  const partition = Number(text('partition') ?? Number.NaN);
  const offset = text('offset');
  if (topic === null || offset === null || !/^\d{1,19}$/.test(offset)) return null;
  if (!Number.isSafeInteger(partition) || partition < 0) return null;
  return { topic, partition, offset, group: text('group') ?? '' };
}
