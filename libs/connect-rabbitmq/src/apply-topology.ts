import { errorMessage, WeirError } from '@weir/flow';
import { DURABLE_QUEUES, EXCHANGES, type Exchange, type Queue } from '@weir/topology';
import type { Channel } from 'amqplib';
import { dial, hangUp } from './connection.ts';
import { lossError, safeUrl } from './errors.ts';
import type { ConnectionOptions } from './types.ts';

const PRECONDITION_FAILED = 406;

export interface BrokerTopology {
  readonly exchanges: readonly Exchange[];
  readonly queues: readonly Queue[];
}

export const brokerTopology: BrokerTopology = {
  exchanges: Object.values(EXCHANGES),
  queues: DURABLE_QUEUES,
};

/** The server's own words name the argument and both values: `inequivalent arg 'x' for queue … received … current is …`. */
function explain(what: string, url: string, error: unknown): WeirError {
  const message = errorMessage(error);
  if ((error as { code?: unknown }).code !== PRECONDITION_FAILED)
    return lossError(`declaring ${what}`, error);
  const difference = /PRECONDITION[_-]FAILED - ([^"]*)/.exec(message)?.[1] ?? message;
  return new WeirError(
    'WEIR_STATE',
    'fatal',
    `declaring ${what}: it exists already, but is different: ${difference}. RabbitMQ cannot change it in place: ` +
      `let its consumers empty it, delete it (management page, or "rabbitmqctl delete_queue") on ${safeUrl(url)} and start again.`,
    error,
  );
}

/**
 * Declares every exchange, queue and binding; what exists as described stays untouched, so this may run at any time.
 * Throws `WeirError`: transient when the broker is away, fatal when something exists in another form.
 */
export async function applyTopology(
  options: ConnectionOptions,
  topology: BrokerTopology = brokerTopology,
): Promise<void> {
  const connection = await dial({ name: 'weir topology', ...options });
  try {
    const channel: Channel = await connection.createChannel();
    channel.on('error', () => {}); // the call that caused it rejects
    let what = '';
    try {
      for (const exchange of topology.exchanges) {
        what = `exchange ${exchange.name}`;
        await channel.assertExchange(exchange.name, exchange.kind, { durable: true });
      }
      for (const queue of topology.queues) {
        what = `queue ${queue.name}`;
        await channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
        for (const { exchange, key } of queue.bindings) {
          what = `binding ${exchange} → ${queue.name} (${key})`;
          await channel.bindQueue(queue.name, exchange, key);
        }
      }
    } catch (error) {
      throw explain(what, options.url, error);
    }
  } finally {
    await hangUp(connection);
  }
}
