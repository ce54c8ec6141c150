import { type Broadcast, openOwnQueue } from '@weir/connect-rabbitmq';
import type { AppContext } from '@weir/lifecycle';
import { COMMANDS_EXCHANGE, commandKey, edgeCommandsQueue } from '@weir/topology';
import type { Client } from 'aedes';
import type { Broker } from '../door/broker.ts';
import type { EdgeEvents } from '../events.ts';
import type { Intake } from '../intake/intake.ts';
import { CommandDelivery } from './deliver.ts';
import { openCommandJournal } from './journal.ts';
import { CommandSubscribers } from './subscribers.ts';

/** Commands that may wait for their devices at a time; the rest waits in RabbitMQ. */
const HELD = 1_000;
/** [MQTT-3.9.3] as granted QoS. */
const REFUSED = 128;

export interface CommandParts {
  readonly broker: Broker;
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly broadcast: Broadcast;
}

export interface Commands {
  /** Gives back what waits. Idempotent. */
  stop(): Promise<void>;
}

/** Takes the commands for the sites of this edge's devices from RabbitMQ and hands them over. */
export async function startCommands(context: AppContext, parts: CommandParts): Promise<Commands> {
  const { config, log } = context;
  const { broker, intake, events, broadcast } = parts;
  const subscribers = new CommandSubscribers(config.edge.topics);
  const journal = await openCommandJournal(config.edge.dir, () => intake.clock.now());
  const delivery = new CommandDelivery({
    templates: config.edge.topics,
    subscribers,
    journal,
    events,
    claim: (id) => broadcast.tell({ kind: 'command-taken', edge: intake.edge, id }),
    report: (site, kind, fields) => intake.event(site, kind, fields),
    now: () => intake.clock.now(),
  });
  broadcast.hear('command-taken', ({ edge, id }) => {
    if (edge !== intake.edge) delivery.letGo(id);
  });
  const queue = openOwnQueue({
    url: config.rabbitmq.url,
    heartbeatMs: config.rabbitmq.heartbeat,
    name: `weir-edge-${config.edge.id}, commands`,
    queue: edgeCommandsQueue(config.edge.id),
    prefetch: HELD,
    handler: delivery.handle,
    log,
  });
  const handOver = subscribers.onListening;
  subscribers.onListening = (site, device) => {
    queue.bind(COMMANDS_EXCHANGE, commandKey(site));
    handOver(site, device);
  };
  const filtersOf = (client: Client): string[] =>
    Object.keys((client as unknown as { subscriptions: object }).subscriptions);
  // a kept session has its subscriptions by then, and its CONNACK
  broker.on('clientReady', (client) => subscribers.add(client, filtersOf(client)));
  broker.on('subscribe', (subscriptions, client) =>
    subscribers.add(
      client,
      subscriptions.filter(({ qos }) => (qos as number) !== REFUSED).map(({ topic }) => topic),
    ),
  );
  broker.on('unsubscribe', (filters, client) => subscribers.remove(client, filters));
  broker.on('clientDisconnect', (client) => subscribers.forget(client));
  queue.start();
  return {
    stop: async () => {
      delivery.stop();
      await queue.stop();
      await journal.close();
    },
  };
}
