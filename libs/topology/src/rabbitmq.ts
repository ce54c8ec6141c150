export type ExchangeKind = 'topic' | 'headers' | 'direct' | 'fanout';
export interface Exchange {
  readonly name: string;
  readonly kind: ExchangeKind;
}
export interface Queue {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number | boolean>>;
  readonly bindings: readonly { readonly exchange: string; readonly key: string }[];
}

/** RabbitMQ needs no name prefix: one installation or test owns one virtual host. */
export const EXCHANGES = {
  telemetry: { name: 'weir.telemetry', kind: 'topic' },
  events: { name: 'weir.events', kind: 'topic' },
  alerts: { name: 'weir.alerts', kind: 'headers' },
  commands: { name: 'weir.commands', kind: 'direct' },
  broadcast: { name: 'weir.broadcast', kind: 'fanout' },
  deadLetters: { name: 'weir.dlx', kind: 'topic' },
} as const satisfies Record<string, Exchange>;

const quorum = (
  queue: string,
  extra: Record<string, string | number | boolean> = {},
): Record<string, string | number | boolean> => ({
  'x-queue-type': 'quorum',
  'x-delivery-limit': 5,
  'x-dead-letter-exchange': EXCHANGES.deadLetters.name,
  'x-dead-letter-routing-key': queue,
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
  ...extra,
});
const dlq = (queue: string): Queue => ({
  name: `${queue}.dlq`,
  arguments: { 'x-queue-type': 'quorum' },
  bindings: [{ exchange: EXCHANGES.deadLetters.name, key: queue }],
});

/** How long a failed message waits before its second, third and fourth attempt; after that it is buried. */
export const RETRY_DELAYS_MS = [1_000, 10_000, 60_000] as const;

/** The queue in which a message of `queue` waits for the next attempt. Nobody consumes it. */
export const retryQueueName = (queue: string, delayMs: number): string =>
  `${queue}.retry-${delayMs / 1_000}s`;

/** When its time is over the broker itself puts a message back, by the default exchange: no binding can be missing. */
const retryQueues = (queue: string): readonly Queue[] =>
  RETRY_DELAYS_MS.map((delayMs) => ({
    name: retryQueueName(queue, delayMs),
    arguments: {
      'x-queue-type': 'quorum',
      'x-message-ttl': delayMs,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': queue,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
      'x-max-length': 10_000,
    },
    bindings: [],
  }));

// Rules look at the readings of a series in their order, so one alerter evaluates at a time; others stand by.
const inOrder = { 'x-single-active-consumer': true } as const;

/**
 * What edges say of themselves on weir.events, under keys that no event of a device has. `progress` also goes into the
 * telemetry queues: it stands behind the readings that it speaks of, so that a backlog holds both back.
 */
export const EDGE_KEYS = { progress: 'edge.progress', alive: 'edge.alive' } as const;
const progress = { exchange: EXCHANGES.events.name, key: EDGE_KEYS.progress } as const;

const alerterNormal = 'weir.alerter.telemetry';
const alerterCritical = 'weir.alerter.telemetry-critical';
const alerterEvents = 'weir.alerter.events';

/**
 * A binding that was taken away is put back by Weir no sooner than this after it was missed: by then every edge, which
 * looks every two seconds, has noticed and has stopped, so that it can send again, in order, what went by.
 */
export const REPAIR_DELAY_MS = 6_000;

const gatewayCommandEvents = 'weir.gateway.command-events';

/** Durable queues. The live feed of a gateway is exclusive to its connection: see `liveQueueArguments`. */
export const QUEUES = {
  alerterTelemetry: {
    name: alerterNormal,
    arguments: quorum(alerterNormal, { ...inOrder, 'x-max-length-bytes': 1 << 30 }),
    bindings: [{ exchange: EXCHANGES.telemetry.name, key: 'telemetry.normal.#' }, progress],
  },
  alerterCritical: {
    name: alerterCritical,
    arguments: quorum(alerterCritical, { ...inOrder, 'x-max-length-bytes': 1 << 30 }),
    bindings: [{ exchange: EXCHANGES.telemetry.name, key: 'telemetry.critical.#' }, progress],
  },
  alerterEvents: {
    name: alerterEvents,
    arguments: quorum(alerterEvents, { 'x-max-length': 1_000_000 }),
    bindings: [{ exchange: EXCHANGES.events.name, key: '#' }],
  },
  /** What becomes of commands, for whichever gateway takes it. */
  gatewayCommandEvents: {
    name: gatewayCommandEvents,
    arguments: quorum(gatewayCommandEvents, { 'x-max-length': 1_000_000 }),
    bindings: [
      { exchange: EXCHANGES.events.name, key: 'events.*.command-ack' },
      { exchange: EXCHANGES.events.name, key: 'events.*.command-delivered' },
    ],
  },
  gatewayCommandEventsDlq: dlq(gatewayCommandEvents),
  alerterTelemetryDlq: dlq(alerterNormal),
  alerterCriticalDlq: dlq(alerterCritical),
  alerterEventsDlq: dlq(alerterEvents),
} as const satisfies Record<string, Queue>;

/** `QUEUES` and the rungs of their retry ladders. */
export const DURABLE_QUEUES: readonly Queue[] = [
  ...Object.values(QUEUES),
  ...[alerterNormal, alerterCritical, alerterEvents].flatMap(retryQueues),
];

/** Arguments of the bounded live queue (exclusive, auto-delete): the oldest readings make room for the newest. */
export const liveQueueArguments = {
  'x-max-length': 2_000,
  'x-max-length-bytes': 16 << 20,
  'x-overflow': 'drop-head',
  'x-message-ttl': 10_000,
} as const;

export type ReadingClass = 'normal' | 'critical';

/**
 * Routing key of a telemetry micro-batch; with the device, of a single reading. Levels never hold `.`, `*` or `#`: the
 * edge refuses such topics.
 */
export function telemetryKey(
  readingClass: ReadingClass,
  site: string,
  metric: string,
  device?: string,
): string {
  const key = `telemetry.${readingClass}.${site}.${metric}`;
  return device === undefined ? key : `${key}.${device}`;
}
/** Routing key of an event, one per message. */
export function eventKey(site: string, kind: string): string {
  return `events.${site}.${kind}`;
}
