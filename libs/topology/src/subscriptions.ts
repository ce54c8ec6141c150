import { EXCHANGES, type Queue } from './rabbitmq.ts';

/** Bounds of a subscription: whoever reads slowly loses the oldest, and whoever stays away loses the queue. */
export interface SubscriptionBounds {
  /** Messages that may wait; the oldest make room. */
  readonly maxMessages: number;
  /** How long a message waits for a reader, milliseconds. */
  readonly messageTtlMs: number;
  /** How long the queue lives without a reader, milliseconds. */
  readonly expiresMs: number;
  /** One reader at a time; the others stand by. */
  readonly ordered: boolean;
}

const MAX_BYTES = 64 << 20;
/** Levels of a pattern: what a name may hold, or a wildcard. */
const LEVEL = /^([*#]|[^\p{C}\p{Z}"\\/.*#+$]+)$/u;
const LONGEST = 200;

/**
 * Bindings of a pattern: `telemetry.[<class>.]<site>.<metric>[.<device>]` or `events.<site>.<kind>`, with `*` for one
 * level and `#` for any number. The class may be left out when site and metric are all there is: `telemetry.plant-1.*`.
 * Readings that travel alone have one level more, and are meant as well. Answers a sentence when it is no pattern.
 */
export function subscriptionBindings(pattern: string): Queue['bindings'] | string {
  const [root, ...levels] = pattern.split('.');
  if (pattern.length > LONGEST) return `a pattern has at most ${LONGEST} characters`;
  const bad = levels.find((level) => !LEVEL.test(level));
  if (bad !== undefined) return `"${bad}" is no name and no wildcard`;
  if (levels.length === 0) return 'a pattern has levels behind its first, such as telemetry.plant-1.*';
  if (root === 'events') return [{ exchange: EXCHANGES.events.name, key: pattern }];
  if (root !== 'telemetry') return 'a pattern begins with telemetry. or events.';
  const exchange = EXCHANGES.telemetry.name;
  const isFree = levels.includes('#');
  const [first = ''] = levels;
  const hasClass =
    first === 'normal' || first === 'critical' || first === '#' || (first === '*' && levels.length > 2);
  const named = hasClass ? levels : ['*', ...levels];
  if (!isFree && (named.length < 3 || named.length > 4))
    return 'telemetry has the levels class, site, metric and, for readings that travel alone, device';
  const key = ['telemetry', ...named].join('.');
  return isFree || named.length === 4
    ? [{ exchange, key }]
    : [
        { exchange, key },
        { exchange, key: `${key}.*` },
      ];
}

export const subscriptionQueueName = (id: string): string => `weir.subscription.${id}`;

/** Throws when the pattern is none; see `subscriptionBindings`. */
export function subscriptionQueue(id: string, pattern: string, bounds: SubscriptionBounds): Queue {
  const bindings = subscriptionBindings(pattern);
  if (typeof bindings === 'string') throw new Error(bindings);
  return {
    name: subscriptionQueueName(id),
    arguments: {
      'x-queue-type': 'classic',
      'x-max-length': bounds.maxMessages,
      'x-max-length-bytes': MAX_BYTES,
      'x-overflow': 'drop-head',
      'x-message-ttl': bounds.messageTtlMs,
      'x-expires': bounds.expiresMs,
      ...(bounds.ordered ? { 'x-single-active-consumer': true } : {}),
    },
    bindings,
  };
}

/** Messages and bytes that may wait in a fleet's queue; what is beyond them pushes the oldest out. */
export const FLEET_QUEUE = { messages: 200_000, bytes: 256 << 20, expiresMs: 60_000 } as const;

/** Everything that a fleet publishes, for the fleet itself to count; gone a minute after its reader. */
export function fleetQueue(run: string, sites: readonly string[]): Queue {
  return {
    name: `weir.fleet.${run}`,
    arguments: {
      'x-queue-type': 'classic',
      'x-max-length': FLEET_QUEUE.messages,
      'x-max-length-bytes': FLEET_QUEUE.bytes,
      'x-overflow': 'drop-head',
      'x-expires': FLEET_QUEUE.expiresMs,
    },
    bindings: sites.map((site) => ({ exchange: EXCHANGES.telemetry.name, key: `telemetry.*.${site}.#` })),
  };
}
