import type { DeadLetterReason } from '@weir/flow';

/** What the headers of one family say; what they do not say is left out. */
export interface Said {
  readonly reason?: DeadLetterReason | undefined;
  readonly stage?: string | undefined;
  readonly errorClass?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly origin?: string | undefined;
  /** Epoch milliseconds. */
  readonly firstFailedAt?: number | undefined;
  readonly lastFailedAt?: number | undefined;
  readonly originalAt?: number | undefined;
}

type Headers = Readonly<Record<string, unknown>>;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** A number that Java wrote as 4 or 8 bytes, big-endian, or as digits. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  if (/^-?\d{1,16}$/.test(value)) return Number(value);
  // A Kafka header is read as UTF-8 where it is that, else as Latin-1: one of the two gives its bytes back.
  const bytes = [Buffer.from(value), Buffer.from(value, 'latin1')].find(
    ({ length }) => length === 4 || length === 8,
  );
  if (bytes === undefined) return undefined;
  return bytes.length === 4 ? bytes.readInt32BE() : Number(bytes.readBigInt64BE());
}

interface Death {
  readonly queue: string;
  readonly reason: string;
  readonly count: number;
  /** Epoch milliseconds. */
  readonly at: number | undefined;
  readonly keys: readonly string[];
}

/** The entries of RabbitMQ's `x-death`, the newest first. https://www.rabbitmq.com/docs/dlx#effects */
function deathsOf(headers: Headers): Death[] {
  const entries = headers['x-death'];
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { queue, reason, count, time, 'routing-keys': keys } = entry as Record<string, unknown>;
    if (typeof queue !== 'string' || typeof reason !== 'string') return [];
    // AMQP timestamps are seconds; amqplib gives them as { '!': 'timestamp', value }.
    const seconds = typeof time === 'number' ? time : (time as { value?: unknown } | null | undefined)?.value;
    return {
      queue,
      reason,
      count: typeof count === 'number' ? count : 1,
      at: typeof seconds === 'number' ? seconds * 1_000 : undefined,
      keys: Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
    };
  });
}

/** The routing key with which a message was published first; undefined when RabbitMQ did not bury it. */
export function originalKey(headers: Headers): string | undefined {
  return deathsOf(headers).at(-1)?.keys[0];
}

const DEATHS: Readonly<Record<string, DeadLetterReason>> = {
  rejected: 'rejected',
  expired: 'expired',
  maxlen: 'maxlen',
  delivery_limit: 'delivery-limit',
};

function rabbitmq(headers: Headers): Said | null {
  const deaths = deathsOf(headers);
  const [last] = deaths;
  if (last === undefined) return null;
  const times = deaths.flatMap(({ at }) => at ?? []);
  return {
    reason: DEATHS[last.reason] ?? 'rejected',
    stage: last.queue,
    errorClass: last.reason,
    errorMessage: `RabbitMQ buried it from queue ${last.queue}: ${last.reason}, ${last.count} times`,
    origin: last.queue,
    ...(times.length === 0 ? {} : { firstFailedAt: Math.min(...times), lastFailedAt: Math.max(...times) }),
  };
}

/** Stages of Kafka Connect; KIP-298. */
const CONNECT_STAGES: Readonly<Record<string, DeadLetterReason>> = {
  KEY_CONVERTER: 'decode',
  VALUE_CONVERTER: 'decode',
  HEADER_CONVERTER: 'decode',
  TRANSFORMATION: 'schema',
  TASK_PUT: 'sink-data',
  TASK_POLL: 'decode',
  KAFKA_PRODUCE: 'sink-unavailable',
  KAFKA_CONSUME: 'decode',
};

/** Kafka Connect, KIP-298. */
function connect(headers: Headers): Said | null {
  const at = (name: string): string | undefined => textOf(headers[`__connect.errors.${name}`]);
  const stage = at('stage');
  const errorClass = at('exception.class.name');
  if (stage === undefined && errorClass === undefined) return null;
  return {
    reason: CONNECT_STAGES[stage ?? ''] ?? 'poison',
    stage: [at('connector.name'), stage].filter(Boolean).join(' ') || undefined,
    errorClass,
    errorMessage: at('exception.message'),
    origin: at('topic'),
  };
}

/** Kafka Streams, KIP-1034. */
function streams(headers: Headers): Said | null {
  const at = (name: string): string | undefined => textOf(headers[`__streams.errors.${name}`]);
  const errorClass = at('exception');
  if (errorClass === undefined) return null;
  return {
    reason: /Deserialization|Serialization/.test(errorClass) ? 'decode' : 'poison',
    stage: 'kafka-streams',
    errorClass,
    errorMessage: at('message'),
    origin: at('topic'),
  };
}

/** Spring for Apache Kafka; its numbers are big-endian bytes. */
function spring(headers: Headers): Said | null {
  const at = (name: string): unknown => headers[`kafka_dlt-${name}`];
  const errorClass = textOf(at('exception-cause-fqcn')) ?? textOf(at('exception-fqcn'));
  const origin = textOf(at('original-topic'));
  if (errorClass === undefined && origin === undefined) return null;
  return {
    reason: /Deserialization|Serialization|Conversion/.test(errorClass ?? '') ? 'decode' : 'poison',
    stage: textOf(at('original-consumer-group')) ?? 'listener',
    errorClass,
    errorMessage: textOf(at('exception-message')),
    origin,
    originalAt: numberOf(at('original-timestamp')),
  };
}

/** Share groups of Kafka itself, KIP-1191. */
function shareGroup(headers: Headers): Said | null {
  const at = (name: string): string | undefined => textOf(headers[`__dlq.errors.${name}`]);
  const origin = at('topic');
  const message = at('message');
  if (origin === undefined && message === undefined) return null;
  const deliveries = at('delivery.count');
  return {
    reason: deliveries === undefined ? 'rejected' : 'delivery-limit',
    stage: at('group'),
    errorClass: 'ShareGroup',
    errorMessage:
      message ?? `share group ${at('group') ?? '?'} gave it up after ${deliveries ?? '?'} deliveries`,
    origin,
  };
}

const FAMILIES = [connect, streams, spring, rabbitmq, shareGroup];

/** What the headers of others say of a dead letter; the family that knows the error best comes first. */
export function readForeign(headers: Headers): Said {
  const found = FAMILIES.flatMap((family) => family(headers) ?? []);
  const merged: Record<string, unknown> = {};
  for (const said of found) {
    for (const [name, value] of Object.entries(said)) if (value !== undefined) merged[name] ??= value;
  }
  return merged as Said;
}
