/** What may be done about an error; set where the error is born, never guessed later. */
export type RetryClass =
  /** The record is wrong: retrying cannot help, bury it. */
  | 'data'
  /** The far side is away or busy: retry with back-off. */
  | 'transient'
  /** The user must change something (configuration, credentials, disk): stop and say so. */
  | 'fatal';

export const ERROR_CODES = {
  WEIR_CONFIG_INVALID: 'The configuration has a key or a value that Weir does not accept.',
  WEIR_CONNECT_FAILED: 'A server could not be reached.',
  WEIR_CONNECTION_LOST: 'A connection ended while it was in use.',
  WEIR_TIMEOUT: 'A deadline passed.',
  WEIR_DECODE: 'Bytes could not be decoded into readings.',
  WEIR_SCHEMA: 'A payload decoded, but does not have the shape of a reading.',
  WEIR_RANGE: 'A value is outside what a reading may hold.',
  WEIR_CLOCK_SKEW: 'A device time lies too far in the future.',
  WEIR_TOPIC: 'A topic does not follow the configured template.',
  WEIR_UNAUTHORIZED: 'Credentials are missing, wrong or do not allow this.',
  WEIR_SPOOL_FULL: 'The spool holds as many bytes as it may.',
  WEIR_SPOOL_CORRUPT: 'A spool segment holds bytes that fail their checksum.',
  WEIR_SPOOL_FSYNC: 'The disk refused to make bytes durable.',
  WEIR_FENCED: 'Another process owns this partition now.',
  WEIR_UNROUTABLE: 'The broker has no queue bound for a message.',
  WEIR_REJECTED: 'The far side refused a message.',
  WEIR_PORT_BUSY: 'A port that Weir needs is taken.',
  WEIR_TOOL_MISSING: 'A program that Weir needs is not installed.',
  WEIR_RESOURCES: 'The machine has too little memory or disk.',
  WEIR_STATE: 'Something is not in the state that this step needs.',
} as const;
export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * The one error type that crosses module borders. `message` says what was being done and, where a person can
 * act, what to do now.
 */
export class WeirError extends Error {
  override readonly name = 'WeirError';
  readonly code: ErrorCode;
  readonly retry: RetryClass;
  constructor(code: ErrorCode, retry: RetryClass, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retry = retry;
  }
}

export function isTransient(error: unknown): boolean {
  return error instanceof WeirError && error.retry === 'transient';
}

export function errorMessage(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(errorMessage).join('; ');
  }
  return error instanceof Error ? error.message : String(error);
}
