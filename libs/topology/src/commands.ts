import { EXCHANGES, type Queue } from './rabbitmq.ts';

/**
 * Queue of the commands for the devices of one edge. The edge declares it and binds the sites of its devices as they
 * come. A command that waits for its device stays in the queue, unacknowledged, so a restarted edge has it again: no
 * number of deliveries makes it a dead letter. The queue of an edge that is gone for a day goes, too.
 */
export function edgeCommandsQueue(edge: string): Queue {
  return {
    name: `weir.edge.${edge}.commands`,
    arguments: {
      'x-queue-type': 'quorum',
      'x-delivery-limit': -1,
      'x-expires': 86_400_000,
      'x-max-length': 100_000,
      'x-overflow': 'reject-publish',
    },
    bindings: [],
  };
}

/** Routing key of a command on the direct exchange `weir.commands`: every edge with devices of the site gets it. */
export const commandKey = (site: string): string => site;
export const COMMANDS_EXCHANGE = EXCHANGES.commands.name;

/** Kinds of the events that tell what became of a command. */
export const COMMAND_EVENTS = { delivered: 'command-delivered', answered: 'command-ack' } as const;

/** Longest time that a command may wait for its device, milliseconds: under RabbitMQ's limit for a held delivery. */
export const MAX_COMMAND_MS = 15 * 60_000;
