import { type ErrorCode, errorMessage, type RetryClass, WeirError } from '@weir/flow';

interface KafkaJsError extends Error {
  readonly type?: string;
  readonly code?: string | number;
  readonly cause?: unknown;
}

/** The broker refuses the bytes themselves: the same bytes will be refused again. */
const DATA = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'CORRUPT_MESSAGE',
  'INVALID_TIMESTAMP',
  'INVALID_RECORD',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
]);

const UNAUTHORIZED = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
]);

/** Nothing but a changed setting helps. */
const SETTINGS = new Set([
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_GROUP_ID',
  'INVALID_SESSION_TIMEOUT',
  'INVALID_CONFIG',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_REQUIRED_ACKS',
  'UNSUPPORTED_VERSION',
  'POLICY_VIOLATION',
  'INCONSISTENT_GROUP_PROTOCOL',
]);

const CONNECTING = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);

/** A plain error of kafkajs: a broker that is too slow for the handshake was asked all the same (broker/index.js). */
const NOT_CONNECTED = 'Broker not connected';

/** The error that kafkajs wrapped, from the outside in, each once. */
function chain(error: unknown): KafkaJsError[] {
  const found: KafkaJsError[] = [];
  for (let next = error; next instanceof Error && !found.includes(next); next = next.cause) found.push(next);
  return found;
}

function classify(errors: readonly KafkaJsError[]): readonly [ErrorCode, RetryClass] | null {
  for (const { type, name, code, message } of errors) {
    if (type !== undefined && DATA.has(type)) return ['WEIR_REJECTED', 'data'];
    if (type !== undefined && UNAUTHORIZED.has(type)) return ['WEIR_UNAUTHORIZED', 'fatal'];
    if (name === 'KafkaJSSASLAuthenticationError') return ['WEIR_UNAUTHORIZED', 'fatal'];
    if (type !== undefined && SETTINGS.has(type)) return ['WEIR_REJECTED', 'fatal'];
    if (name === 'KafkaJSNotImplemented' || name === 'KafkaJSServerDoesNotSupportApiKey')
      return ['WEIR_REJECTED', 'fatal'];
    if (name === 'KafkaJSRequestTimeoutError' || type === 'REQUEST_TIMED_OUT')
      return ['WEIR_TIMEOUT', 'transient'];
    if (typeof code === 'string' && CONNECTING.has(code)) return ['WEIR_CONNECT_FAILED', 'transient'];
    if (name === 'KafkaJSConnectionClosedError') return ['WEIR_CONNECTION_LOST', 'transient'];
    if (name === 'KafkaJSConnectionError') return ['WEIR_CONNECT_FAILED', 'transient'];
    if (message === NOT_CONNECTED) return ['WEIR_CONNECTION_LOST', 'transient'];
  }
  // A bug (TypeError and the like) is not kafkajs's own kind of error: it must not be retried as an outage.
  return errors.some(({ name }) => name.startsWith('KafkaJS')) ? ['WEIR_CONNECTION_LOST', 'transient'] : null;
}

/** `doing`, in the form "writing to topic x"; an error that is neither ours nor kafkajs's stays as it is. */
export function mapError(doing: string, error: unknown): Error {
  if (error instanceof WeirError) return error;
  const known = classify(chain(error));
  if (known === null) return error instanceof Error ? error : new Error(`${doing}: ${String(error)}`);
  const innermost = chain(error).at(-1);
  const detail = innermost === undefined || innermost === error ? '' : ` (${errorMessage(innermost)})`;
  const outer = errorMessage(error);
  return new WeirError(
    known[0],
    known[1],
    `${doing}: ${outer}${outer.includes(detail.slice(2, -1)) ? '' : detail}`,
    error,
  );
}

export async function mapped<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw mapError(doing, error);
  }
}
