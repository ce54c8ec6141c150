import { WeirError } from '@weir/flow';
import type { Queue } from '@weir/topology';
import { type BrokerTopology, brokerTopology } from './apply-topology.ts';
import { manage } from './management.ts';

interface LiveExchange {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
}
interface LiveQueue {
  readonly name: string;
  readonly durable: boolean;
  readonly arguments: Readonly<Record<string, unknown>>;
}
interface LiveBinding {
  readonly source: string;
  readonly destination: string;
  readonly destination_type: string;
  readonly routing_key: string;
}

/**
 * Compares the broker with the topology: exchanges and their kinds, queues and their arguments, bindings of these
 * queues, missing or foreign. What others have declared beside them is no difference.
 * Answers a sentence for each difference. Throws `WeirError`, transient when the management API is away.
 */
export async function topologyDifferences(
  managementUrl: string,
  vhost: string,
  topology: BrokerTopology = brokerTopology,
): Promise<string[]> {
  const of = <T>(what: string): Promise<T[]> =>
    manage<T[]>(managementUrl, `/api/${what}/${encodeURIComponent(vhost)}`);
  const [exchanges, queues, bindings] = await Promise.all([
    of<LiveExchange>('exchanges'),
    of<LiveQueue>('queues'),
    of<LiveBinding>('bindings'),
  ]);
  const differences: string[] = [];
  for (const { name, kind } of topology.exchanges) {
    const live = exchanges.find((exchange) => exchange.name === name);
    if (live === undefined) differences.push(`exchange ${name} is missing`);
    else {
      if (live.type !== kind)
        differences.push(`exchange ${name} is of kind ${live.type}, and should be ${kind}`);
      if (!live.durable) differences.push(`exchange ${name} is not durable`);
    }
  }
  for (const queue of topology.queues) {
    const live = queues.find(({ name }) => name === queue.name);
    if (live === undefined) {
      differences.push(`queue ${queue.name} is missing`);
      continue;
    }
    if (!live.durable) differences.push(`queue ${queue.name} is not durable`);
    differences.push(...argumentDifferences(queue.name, queue.arguments, live.arguments));
    const own = bindings.filter(
      ({ source, destination, destination_type }) =>
        source !== '' && destination === queue.name && destination_type === 'queue',
    );
    differences.push(...absentBindings(queue, own));
    for (const { source, routing_key } of own) {
      if (!queue.bindings.some(({ exchange, key }) => source === exchange && routing_key === key))
        differences.push(
          `queue ${queue.name} is bound to ${source} by "${routing_key}", which the topology does not say`,
        );
    }
  }
  return differences;
}

/** Bindings that the broker lacks: single ones, or all of a queue that does not exist. */
export interface MissingBinding {
  readonly queueExists: boolean;
  /** A sentence. */
  readonly difference: string;
}

/**
 * Which bindings of `queues` the broker lacks: one small request a queue, for those who ask every second or two.
 * Throws `WeirError`, transient when the management API is away.
 */
export async function missingBindings(
  managementUrl: string,
  vhost: string,
  queues: readonly Queue[],
): Promise<MissingBinding[]> {
  const found = await Promise.all(
    queues.map(async (queue) => {
      const path = `/api/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue.name)}/bindings`;
      try {
        return absentBindings(queue, await manage<LiveBinding[]>(managementUrl, path)).map((difference) => ({
          queueExists: true,
          difference,
        }));
      } catch (error) {
        if (error instanceof WeirError && error.code === 'WEIR_STATE')
          return [{ queueExists: false, difference: `queue ${queue.name} is missing` }];
        throw error;
      }
    }),
  );
  return found.flat();
}

function absentBindings(queue: Queue, live: readonly LiveBinding[]): string[] {
  return queue.bindings
    .filter(
      ({ exchange, key }) =>
        !live.some(({ source, routing_key }) => source === exchange && routing_key === key),
    )
    .map(({ exchange, key }) => `queue ${queue.name} is not bound to ${exchange} by "${key}"`);
}

function argumentDifferences(
  queue: string,
  wanted: Readonly<Record<string, unknown>>,
  live: Readonly<Record<string, unknown>>,
): string[] {
  const show = (value: unknown): string => (value === undefined ? 'not set' : JSON.stringify(value));
  return [...new Set([...Object.keys(wanted), ...Object.keys(live)])]
    .filter((name) => wanted[name] !== live[name])
    .map((name) => `queue ${queue} has ${name} ${show(live[name])}, and should have ${show(wanted[name])}`);
}
