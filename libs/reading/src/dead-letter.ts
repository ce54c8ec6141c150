import { createHash } from 'node:crypto';
import { DEAD_LETTER_REASONS, type DeadLetterReason } from '@weir/flow';

/** What is known about a dead letter besides its key, body and own headers, which stay untouched. */
export interface DeadLetter {
  readonly id: string;
  readonly reason: DeadLetterReason;
  /** The step that failed, for example `decode-payload`. */
  readonly stage: string;
  readonly errorClass: string;
  readonly errorMessage: string;
  /** Epoch milliseconds. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly originSystem: 'mqtt' | 'http' | 'kafka' | 'rabbitmq';
  /** The topic, queue or path that the bytes came from. */
  readonly origin: string;
  /** Epoch milliseconds of the original message. */
  readonly originalTimestamp: number;
  readonly retryable: boolean;
  readonly replayCount: number;
  /**
   * Indexes (among the readings of the line) that were buried, when others of the same line were stored: a replay must
   * send no others.
   */
  readonly readings?: readonly number[];
  /** Where in Kafka the record lay, for a record that came from there. */
  readonly kafka?: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: string;
    readonly group: string;
  };
}

/** Digits and quoted parts differ between two failures of one kind; without them they share a fingerprint. */
export function fingerprint(
  letter: Pick<DeadLetter, 'reason' | 'stage' | 'errorClass' | 'errorMessage'>,
): string {
  const shape = letter.errorMessage.replace(/"[^"]*"/g, '""').replace(/\d+/g, '0');
  return createHash('sha256')
    .update(`${letter.reason}\0${letter.stage}\0${letter.errorClass}\0${shape}`)
    .digest('hex')
    .slice(0, 16);
}

/**
 * The id of a letter whose bytes came from a line of a Kafka record. It follows from that place, so a line that is
 * buried again after a crash is the same letter twice, and the letter of a place can be looked for.
 */
export function letterIdAt(
  topic: string,
  partition: number,
  offset: bigint,
  line: number,
  reason: DeadLetterReason,
): string {
  return createHash('sha256')
    .update(`${topic}/${partition}/${offset}/${line}/${reason}`)
    .digest('hex')
    .slice(0, 32);
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** Schema version of these headers; letters of Weir 0.1.0 have none, and mean 1. */
const VERSION = '1';

/** Headers as UTF-8 text: Kafka's KIP-1191 names and `x-dlq-*`. */
export function deadLetterHeaders(letter: DeadLetter): Record<string, string> {
  const headers: Record<string, string> = {
    'x-dlq-version': VERSION,
    'x-dlq-id': letter.id,
    'x-dlq-reason': letter.reason,
    'x-dlq-stage': letter.stage,
    'x-dlq-error-class': letter.errorClass,
    'x-dlq-error-message': letter.errorMessage.slice(0, 1_000),
    'x-dlq-fingerprint': fingerprint(letter),
    'x-dlq-first-failed-at': iso(letter.firstFailedAt),
    'x-dlq-last-failed-at': iso(letter.lastFailedAt),
    'x-dlq-origin-system': letter.originSystem,
    'x-dlq-origin': letter.origin,
    'x-dlq-original-timestamp': iso(letter.originalTimestamp),
    'x-dlq-retryable': String(letter.retryable),
    'x-dlq-replay-count': String(letter.replayCount),
    '__dlq.errors.message': letter.errorMessage.slice(0, 1_000),
  };
  if (letter.kafka !== undefined) {
    headers['__dlq.errors.topic'] = letter.kafka.topic;
    headers['__dlq.errors.partition'] = String(letter.kafka.partition);
    headers['__dlq.errors.offset'] = letter.kafka.offset;
    headers['__dlq.errors.group'] = letter.kafka.group;
  }
  if (letter.readings !== undefined) headers['x-dlq-readings'] = letter.readings.join(',');
  return headers;
}

const SYSTEMS = ['mqtt', 'http', 'kafka', 'rabbitmq'] as const;

/**
 * Reads what `deadLetterHeaders` wrote; null when these are not the headers of a dead letter of ours, or of a version
 * that is not known here.
 */
export function parseDeadLetter(headers: Readonly<Record<string, string>>): DeadLetter | null {
  const text = (name: string): string => headers[name] ?? '';
  const reason = DEAD_LETTER_REASONS.find((one) => one === headers['x-dlq-reason']);
  const originSystem = SYSTEMS.find((one) => one === headers['x-dlq-origin-system']);
  const id = text('x-dlq-id');
  if (reason === undefined || originSystem === undefined || id === '') return null;
  if ((headers['x-dlq-version'] ?? VERSION) !== VERSION) return null;
  const readings = headers['x-dlq-readings'];
  const topic = headers['__dlq.errors.topic'];
  return {
    id,
    reason,
    stage: text('x-dlq-stage'),
    errorClass: text('x-dlq-error-class'),
    errorMessage: text('x-dlq-error-message'),
    firstFailedAt: Date.parse(text('x-dlq-first-failed-at')),
    lastFailedAt: Date.parse(text('x-dlq-last-failed-at')),
    originSystem,
    origin: text('x-dlq-origin'),
    originalTimestamp: Date.parse(text('x-dlq-original-timestamp')),
    retryable: headers['x-dlq-retryable'] === 'true',
    replayCount: Number(headers['x-dlq-replay-count'] ?? 0),
    ...(readings === undefined ? {} : { readings: readings.split(',').map(Number) }),
    ...(topic === undefined
      ? {}
      : {
          kafka: {
            topic,
            partition: Number(text('__dlq.errors.partition')),
            offset: text('__dlq.errors.offset'),
            group: text('__dlq.errors.group'),
          },
        }),
  };
}

/** Who sends dead letters again, and under which number the reason is recorded. */
export interface Replay {
  readonly task: string;
  readonly by: string;
}

/** Headers of a record that is sent again: whose letter it was, and how often. */
export function replayHeaders(
  letter: Pick<DeadLetter, 'id' | 'replayCount'>,
  { task, by }: Replay,
): Record<string, string> {
  return {
    'x-dlq-id': letter.id,
    'x-dlq-replay-count': String(letter.replayCount + 1),
    'x-dlq-replay-task-id': task,
    'x-dlq-replayed-by': by,
  };
}
