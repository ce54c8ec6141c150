import { createHash } from 'node:crypto';
import type { DeadLetterReason } from '@weir/flow';

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

const iso = (ms: number): string => new Date(ms).toISOString();

/** Headers as UTF-8 text: Kafka's KIP-1191 names and `x-dlq-*`. */
export function deadLetterHeaders(letter: DeadLetter): Record<string, string> {
  const headers: Record<string, string> = {
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
  return headers;
}
