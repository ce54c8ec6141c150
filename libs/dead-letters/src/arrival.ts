import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { DEAD_LETTER_REASONS, type DeadLetterReason } from '@weir/flow';
import { type DeadLetter, fingerprint, isName, LIMITS } from '@weir/reading';
import { originalKey, readForeign } from './foreign.ts';
import type { Letter, LetterContent, LetterHeaders } from './letter.ts';
import type { OriginReader } from './origin.ts';

/** A message as it was found in a place for dead letters. */
export interface Arrival {
  readonly found:
    | {
        readonly in: 'kafka';
        readonly topic: string;
        readonly partition: number;
        readonly offset: bigint;
        /** Epoch milliseconds. */
        readonly timestamp: number;
      }
    | { readonly in: 'rabbitmq'; readonly queue: string };
  readonly key: Buffer | null;
  readonly headers: Readonly<Record<string, unknown>>;
  /** What is not in the headers and is needed to send it again: AMQP's content type and message id. */
  readonly properties: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** What an arrival tells: a row of the index before it is written. */
export interface NewLetter
  extends Omit<
    Letter,
    | 'id'
    | 'seq'
    | 'arrivedAt'
    | 'returnedCount'
    | 'status'
    | 'statusAt'
    | 'statusBy'
    | 'statusWhy'
    | 'place'
    | 'bytesRemovedAt'
  > {
  /** Null for a message of RabbitMQ that has none: nothing tells it from another one with the same bytes. */
  readonly id: string | null;
  readonly key: Buffer | null;
  readonly headers: LetterHeaders;
  readonly properties: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** Letters for which trying again unchanged makes sense, when the headers do not say. */
const RETRYABLE: ReadonlySet<DeadLetterReason> = new Set([
  'late',
  'sink-unavailable',
  'timeout',
  'expired',
  'maxlen',
  'delivery-limit',
  'unroutable',
]);
const SYSTEMS: readonly DeadLetter['originSystem'][] = ['mqtt', 'http', 'kafka', 'rabbitmq'];
/** Larger bodies are not looked into. */
const LOOK_BYTES = 256 << 10;
const DLQ = /\.dlq$/;

/** PostgreSQL holds no NUL in a text; what is longer than its use is cut. */
function clean(text: string, max: number): string {
  return text.replaceAll('\0', '\uFFFD').slice(0, max).toWellFormed();
}

function timeOf(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return isTime(ms) ? ms : undefined;
}
const isTime = (ms: number | undefined): ms is number =>
  ms !== undefined && ms >= 0 && ms <= 253_402_300_799_999;

/** Texts stay what they are; what JSON or PostgreSQL cannot hold becomes `{ base64 }`. */
function storable(value: unknown): unknown {
  if (typeof value === 'string')
    return value.includes('\0') || !value.isWellFormed()
      ? { base64: Buffer.from(value).toString('base64') }
      : value;
  if (typeof value === 'bigint') return value.toString();
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') };
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value === 'object' && value !== null) {
    const found = Object.entries(value).map(([name, inner]) => [clean(name, 1_000), storable(inner)]);
    return Object.fromEntries(found);
  }
  return value;
}

/** The parsed values of a body of JSON or of lines of JSON, and what it looks like. */
function look(bytes: Buffer): { content: LetterContent; values: readonly unknown[] } {
  if (bytes.length === 0) return { content: 'empty', values: [] };
  if (bytes.length > LOOK_BYTES) return { content: isUtf8(bytes) ? 'text' : 'binary', values: [] };
  if (!isUtf8(bytes) || bytes.includes(0)) return { content: 'binary', values: [] };
  const text = bytes.toString('utf8').trim();
  const parse = (json: string): { value: unknown } | null => {
    try {
      return { value: JSON.parse(json) };
    } catch {
      return null;
    }
  };
  const whole = parse(text);
  if (whole !== null) return { content: 'json', values: [whole.value] };
  const lines = text.split('\n').map(parse);
  if (lines.length < 2 || lines.includes(null)) return { content: 'text', values: [] };
  return { content: 'lines', values: lines.flatMap((line) => line?.value ?? []) };
}

const nameIn = (value: unknown, field: 'site' | 'device'): string | undefined => {
  const name: unknown = (value as Record<string, unknown> | null | undefined)?.[field];
  const limit = field === 'site' ? LIMITS.siteBytes : LIMITS.deviceBytes;
  return typeof name === 'string' && isName(name, limit) ? name : undefined;
};

/** The one name that all values agree on. */
function agreed(values: readonly unknown[], field: 'site' | 'device'): string | undefined {
  const first = nameIn(values[0], field);
  return values.every((value) => nameIn(value, field) === first) ? first : undefined;
}

/** Fits `/<site>/` of `telemetry.<class>.<site>.…` and `events.<site>.…`. */
function siteOfKey(key: string | undefined): string | undefined {
  const levels = key?.split('.') ?? [];
  const site = levels[0] === 'telemetry' ? levels[2] : levels[0] === 'events' ? levels[1] : undefined;
  return site !== undefined && isName(site, LIMITS.siteBytes) ? site : undefined;
}

/**
 * Reads what a message in a place for dead letters says of itself: our own headers first, then those of others, then
 * the body. Never throws: whatever came is a letter.
 * @param now epoch milliseconds, for what has no time
 */
export function readArrival(arrival: Arrival, readOrigin: OriginReader, now: number): NewLetter {
  const { found, headers, bytes, key } = arrival;
  const own = (name: string): string | undefined => {
    const value = headers[`x-dlq-${name}`];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const said = readForeign(headers);
  const seen = look(bytes);
  const reason =
    DEAD_LETTER_REASONS.find((one) => one === own('reason')) ?? said.reason ?? ('rejected' as const);
  const originSystem = SYSTEMS.find((one) => one === own('origin-system')) ?? found.in;
  const place = found.in === 'kafka' ? found.topic : found.queue.replace(DLQ, '');
  const origin = clean(own('origin') ?? (found.in === 'rabbitmq' ? place : (said.origin ?? place)), 512);
  const at = found.in === 'kafka' && isTime(found.timestamp) ? found.timestamp : now;
  const lastFailedAt = timeOf(own('last-failed-at')) ?? said.lastFailedAt ?? at;
  const firstFailedAt = timeOf(own('first-failed-at')) ?? said.firstFailedAt ?? lastFailedAt;
  const original = timeOf(own('original-timestamp')) ?? said.originalAt;
  const named = readOrigin(originSystem, origin);
  const keyed = key === null ? undefined : nameIn({ device: key.toString('utf8') }, 'device');
  const readings = own('readings')?.split(',').map(Number);
  const described = {
    reason,
    stage: clean(own('stage') ?? said.stage ?? place, 200),
    errorClass: clean(own('error-class') ?? said.errorClass ?? 'unknown', 300),
    errorMessage: clean(
      own('error-message') ?? said.errorMessage ?? 'no header says why it was buried',
      2_000,
    ),
  };
  const given = own('fingerprint');
  const count = Number(own('replay-count') ?? 0);
  return {
    id: idOf(arrival, own('id')),
    ...described,
    fingerprint: given !== undefined && /^[\w-]{1,64}$/.test(given) ? given : fingerprint(described),
    site:
      named?.site ??
      nameIn(headers, 'site') ??
      agreed(seen.values, 'site') ??
      siteOfKey(originalKey(headers)) ??
      '',
    device: named?.device ?? agreed(seen.values, 'device') ?? keyed ?? '',
    originSystem,
    origin,
    foundIn:
      found.in === 'kafka' ? `${found.topic}/${found.partition}/${found.offset}` : clean(found.queue, 300),
    firstFailedAt: new Date(firstFailedAt),
    lastFailedAt: new Date(Math.max(lastFailedAt, firstFailedAt)),
    originalAt: new Date(isTime(original) ? original : firstFailedAt),
    retryable: own('retryable') === undefined ? RETRYABLE.has(reason) : own('retryable') === 'true',
    readings:
      readings?.every((index) => Number.isInteger(index) && index >= 0 && index < 2 ** 31) === true
        ? readings
        : null,
    replayCount: Number.isInteger(count) && count >= 0 && count < 1_000_000 ? count : 0,
    length: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    content: seen.content,
    key,
    headers: storable(headers) as LetterHeaders,
    properties: arrival.properties,
    bytes,
  };
}

/** The letter's own id; for a record of Kafka that has none, one made of its place. */
function idOf({ found }: Arrival, own: string | undefined): string | null {
  if (own !== undefined && own.length <= 200 && !own.includes('\0') && own.isWellFormed()) return own;
  if (found.in === 'rabbitmq') return null;
  return createHash('sha256')
    .update(`${found.topic}/${found.partition}/${found.offset}`)
    .digest('hex')
    .slice(0, 32);
}

/** Headers that RabbitMQ changes while a message waits. */
const VOLATILE = new Set(['x-delivery-count', 'x-acquired-count']);

/** Equal for two deliveries of one message, and for messages that nothing tells apart. */
export function likeness({ headers, properties, bytes }: Arrival): string {
  const lasting = Object.entries(headers).filter(([name]) => !VOLATILE.has(name));
  return createHash('sha256')
    .update(JSON.stringify([storable(lasting), properties]))
    .update('\0')
    .update(bytes)
    .digest('base64url');
}
