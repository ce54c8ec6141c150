import { openProducer } from '@weir/connect-kafka';
import { applyTopology, missingBindings, openPublisher, vhostOf } from '@weir/connect-rabbitmq';
import type { AppContext } from '@weir/lifecycle';
import { HopTime } from '@weir/observe';
import { EXCHANGES, kafkaTopology, QUEUES, REPAIR_DELAY_MS } from '@weir/topology';
import type { EdgeClock } from '../clock/index.ts';
import { DESTINATIONS, type Destination, HOP_OF, type Spool, type SpoolRecord } from '../spool/index.ts';
import type { Lane } from './batch-readings.ts';
import { type DestinationStatus, ForwardEvents } from './events.ts';
import { type ForwardOptions, forward, type Sink } from './flow.ts';
import { kafkaSink } from './kafka-sink.ts';
import { observeWays, Round, type Way } from './pressure.ts';
import { rabbitmqSink } from './rabbitmq-sink.ts';
import { Tally, type TallyNumbers } from './tally.ts';
import { Throttle } from './throttle.ts';
import { watchBindings } from './watch-bindings.ts';

export type { DestinationStatus } from './events.ts';

/** A round under way at the stop may take this long, and its connection this long to close. */
const STOP_MS = 4_000;
const LOOK_MS = 2_000;
/** Of the spool, for what was sent while nobody could see the bindings. */
const HELD_SHARE = 0.25;
/** Durable queues of what the edge publishes. */
const FED: ReadonlySet<string> = new Set([EXCHANGES.telemetry.name, EXCHANGES.events.name]);
const FED_QUEUES = Object.values(QUEUES).filter(({ bindings }) =>
  bindings.some(({ exchange }) => FED.has(exchange)),
);

export interface Forwarders {
  status(name: Destination): DestinationStatus & SpoolBehind;
  /** Of the way to Kafka. */
  readonly throttle: Pick<Throttle, 'hear'>;
  /** What became of the readings on the way to Kafka. */
  readonly tally: TallyNumbers;
  /** Ends the loops: nothing new is read, the rounds under way end within 8 s. Idempotent. */
  stop(): Promise<void>;
}
type SpoolBehind = ReturnType<Spool['reader']>['behind'];

/** What the forwarders need of an `AppContext`. */
export type ForwardContext = Pick<AppContext, 'config' | 'log' | 'metrics' | 'fatal'>;

/**
 * Starts the ways out of the spool: one to Kafka, and two lanes to RabbitMQ with a connection each, because a
 * connection is what RabbitMQ throttles. A queue that takes no normal readings holds up the normal lane alone. Returns
 * at once; brokers that are away are tried until they answer. Call `stop` before the spool is closed.
 */
export function startForwarders(context: ForwardContext, spool: Spool, clock: EdgeClock): Forwarders {
  const { config, log, metrics } = context;
  const settings = config.edge.forward;
  const clientId = `weir-edge-${config.edge.id}`;
  const events = new ForwardEvents(log, metrics);
  const readers = {
    kafka: spool.reader('kafka'),
    rabbitmq: spool.reader('rabbitmq'),
    critical: spool.reader('critical'),
  };
  const edge = `${config.edge.id}/${spool.sourceId}`;
  const tally = new Tally(edge, readers.kafka.note, spool.isNew, Date.now());
  const lane = (name: string, of: Lane): Sink =>
    rabbitmqSink({
      publisher: openPublisher({
        url: config.rabbitmq.url,
        heartbeatMs: config.rabbitmq.heartbeat,
        name,
        log,
      }),
      routing: { ...settings, telemetryTopic: config.edge.topics.telemetry },
      derived: config.derived,
      events,
      lane: of,
    });
  const sinks: Record<Destination, Sink> = {
    kafka: kafkaSink({
      producer: openProducer({
        brokers: config.kafka.brokers,
        requestTimeoutMs: config.kafka.requestTimeout,
        clientId,
        log,
      }),
      topics: kafkaTopology(config.namespace),
      packed: settings.packed,
      events,
      tally,
      reader: readers.kafka,
    }),
    rabbitmq: lane(clientId, 'normal'),
    critical: lane(`${clientId}, critical`, 'critical'),
  };
  events.observe(metrics, readers, clock);

  const stopping = new AbortController();
  const throttle = new Throttle();
  const { url, managementUrl } = config.rabbitmq;
  const bindings = watchBindings({
    readers: [readers.rabbitmq, readers.critical],
    missing: async () =>
      (await missingBindings(managementUrl, vhostOf(url), FED_QUEUES)).map(({ difference }) => difference),
    repair: () => applyTopology({ url }),
    repairDelayMs: REPAIR_DELAY_MS,
    everyMs: LOOK_MS,
    limitBytes: config.edge.spool.maxSize * HELD_SHARE,
    events,
    stopping: stopping.signal,
  });
  /** Events say that the readings before them are on their way, so those of the other lane have to be there. */
  const afterCritical = (records: readonly SpoolRecord[], stop: AbortSignal): Promise<void> | undefined => {
    const event = records.findLast(({ kind }) => kind === 'event');
    return event === undefined ? undefined : readers.critical.reached(event.n, stop);
  };
  const admits: Record<Destination, NonNullable<ForwardOptions['admit']>> = {
    kafka: (records, stop) => throttle.admit(records, stop),
    rabbitmq: (records, stop) => bindings.admit(afterCritical(records, stop)),
    critical: () => bindings.admit(),
  };
  const way = (name: Destination, time: HopTime, batchBytes: number): Way => ({
    round: new Round(time),
    batchBytes,
    reader: readers[name],
    isHeld: () => sinks[name].isBlocked() || events.status(name).lastError !== null,
    isThrottled: () => name === 'kafka' && throttle.rate !== null,
  });
  const [toKafka, toRabbitmq] = [new HopTime(), new HopTime()];
  const ways: Record<Destination, Way> = {
    kafka: way('kafka', toKafka, settings.kafkaBatch),
    rabbitmq: way('rabbitmq', toRabbitmq, settings.rabbitmqBatch),
    critical: way('critical', toRabbitmq, settings.rabbitmqBatch),
  };
  observeWays(metrics, HOP_OF.kafka, toKafka, [ways.kafka], clock);
  observeWays(metrics, HOP_OF.rabbitmq, toRabbitmq, [ways.rabbitmq, ways.critical], clock);
  const loops = DESTINATIONS.map((name) =>
    forward({
      ...ways[name],
      sink: sinks[name],
      lingerMs: settings.linger,
      stopping: stopping.signal,
      admit: admits[name],
    }).catch((error: unknown) => context.fatal(`forwarding to ${name}`, error)),
  );

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort();
    await within(STOP_MS, loops);
    // A round that is late ends with its connection; what it had sent is sent again by the next start.
    await Promise.all(Object.values(sinks).map((sink) => sink.close()));
    await within(STOP_MS, [...loops, bindings.stop()]);
  };
  return {
    throttle,
    tally: tally.numbers,
    status: (name) => ({ ...events.status(name), ...readers[name].behind }),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

async function within(ms: number, loops: readonly Promise<void>[]): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([Promise.all(loops), late]);
  clearTimeout(timer);
}
