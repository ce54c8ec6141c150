import { openAdmin } from '@weir/connect-kafka';
import {
  type Broadcast,
  openBroadcast,
  openConsumer,
  openPublisher,
  queueDepths,
  vhostOf,
} from '@weir/connect-rabbitmq';
import { type Cache, openCache } from '@weir/connect-redis';
import { openAlertQueries, openDatabase, openQueries } from '@weir/connect-timescale';
import { type AppContext, localUrl, namedUrls } from '@weir/lifecycle';
import { kafkaTopology, type PortName, QUEUES } from '@weir/topology';
import { groupings } from '@weir/windows';
import { CommandDesk } from './commands/desk.ts';
import { type CommandStore, commandStore } from './commands/store.ts';
import type { Events } from './events.ts';
import type { LiveHub } from './live/hub.ts';
import { viewApp, viewMinio } from './status/probe.ts';
import type { KafkaView } from './status/snapshot.ts';
import { groupView, type Sources } from './steps/collect-status.ts';
import { type AlertingStore, alertingStore } from './store/alerting.ts';
import { type LetterStore, letterStore } from './store/letters.ts';
import { type ReplayStore, replayStore } from './store/replays.ts';
import { type RollupStore, rollupStore } from './store/rollups.ts';
import { sqlStore } from './store/sql.ts';
import type { Store } from './store/store.ts';
import { Subscriptions } from './subscriptions/subscriptions.ts';

const COMMAND_EVENTS_IN_HAND = 100;

export interface Parts {
  readonly store: Store;
  readonly rollups: RollupStore;
  readonly replays: ReplayStore;
  readonly letters: LetterStore;
  readonly alerting: AlertingStore;
  readonly cache: Cache;
  readonly sources: Sources;
  readonly commands: CommandStore;
  readonly desk: CommandDesk;
  readonly broadcast: Broadcast;
  readonly subscriptions: Subscriptions;
  /** Begins to send commands, to hear what became of them, and to hear what others say. */
  start(): void;
  close(): Promise<void>;
}

/** Opens what the gateway talks to. Nothing waits for a server: each one may be away at any time. */
export function openParts(context: AppContext, hub: LiveHub, events: Events): Parts {
  const { config, log } = context;
  const database = openDatabase({
    url: config.timescale.url,
    poolSize: config.timescale.poolSize,
    statementTimeoutMs: Math.min(config.timescale.statementTimeout, 5_000),
    name: 'weir gateway',
    log,
  });
  const queries = openQueries(database, {
    allowedLatenessMs: config.aggregator.allowedLateness,
    outOfOrdernessMs: config.aggregator.outOfOrderness,
  });
  const store = sqlStore(database, queries, openAlertQueries(database));
  const cache = openCache({ url: config.redis.url, log });
  const admin = openAdmin({
    brokers: config.kafka.brokers,
    clientId: 'weir-gateway',
    log,
    requestTimeoutMs: 5_000,
  });
  const topology = kafkaTopology(config.namespace);
  const letters = letterStore(database, config, log);
  const rabbitmq = { url: config.rabbitmq.url, heartbeatMs: config.rabbitmq.heartbeat, log };
  const broadcast = openBroadcast({ ...rabbitmq, name: 'weir gateway, broadcast' });
  const publisher = openPublisher({ ...rabbitmq, name: 'weir gateway, commands' });
  const commands = commandStore(database);
  const desk = new CommandDesk(commands, publisher, events);
  const commandEvents = openConsumer({
    ...rabbitmq,
    name: 'weir gateway, command events',
    queue: QUEUES.gatewayCommandEvents.name,
    prefetch: COMMAND_EVENTS_IN_HAND,
    handler: desk.hear,
  });

  const app = (port: PortName) => (signal: AbortSignal) => viewApp(localUrl(context, port), signal);
  const named = namedUrls(context, 'edge') ?? [];
  const edges = named.length > 0 ? named : [localUrl(context, 'edgeHttp')];
  const kafka = async (): Promise<KafkaView> => {
    // Committed offsets are read before end offsets inside groupLag, so that lag is never negative.
    const readings = topology.readings.name;
    const aggregator = await admin.groupLag(topology.groups.aggregator, readings);
    const archiver = await admin.groupLag(topology.groups.archiver, readings);
    const buried = await admin.topicOffsets(topology.deadLetters.name);
    return {
      written: aggregator.reduce((sum, { end }) => sum + Number(end), 0),
      partitions: aggregator.length,
      aggregator: groupView(aggregator),
      archiver: groupView(archiver),
      deadLetters: buried.reduce((sum, { start, end }) => sum + Number(end - start), 0),
    };
  };

  return {
    store,
    rollups: rollupStore(database, groupings(config.rollups.by, config.devices)),
    replays: replayStore(database, config.deadLetters),
    letters,
    alerting: alertingStore(database, config.alerter),
    cache,
    commands,
    desk,
    broadcast,
    subscriptions: new Subscriptions({
      database,
      rabbitmq: { ...rabbitmq, managementUrl: config.rabbitmq.managementUrl },
    }),
    start: () => {
      desk.start();
      commandEvents.start();
      broadcast.start();
    },
    sources: {
      edges: edges.map((url) => ({ url, ask: (signal) => viewApp(url, signal) })),
      aggregator: app('aggregatorHttp'),
      archiver: app('archiverHttp'),
      alerter: app('alerterHttp'),
      deadLetters: app('deadLettersHttp'),
      kafka,
      rabbitmq: () => queueDepths(config.rabbitmq.managementUrl, vhostOf(config.rabbitmq.url)),
      timescale: async () => ({ firingAlerts: await store.firingAlerts() }),
      minio: (signal) => viewMinio(config.minio.url, signal),
      cache: () => cache.state,
      live: () => ({ clients: hub.size, connected: hub.connected, delivered: hub.delivered }),
    },
    close: async () => {
      await Promise.all([desk.stop(), commandEvents.stop(), broadcast.stop()]);
      cache.close();
      await Promise.all([admin.close(), database.close(), publisher.close(), letters.close()]);
    },
  };
}

/** Where the alerters answer. */
export function alerterUrls(context: Pick<AppContext, 'config' | 'port'>): readonly string[] {
  const named = context.config.gateway.alerters.split(',').map((url) => url.trim().replace(/\/$/, ''));
  const urls = named.filter(Boolean);
  return urls.length > 0 ? urls : [localUrl(context, 'alerterHttp')];
}

/** Where the lag monitors answer. */
export function monitorUrls(context: Pick<AppContext, 'config' | 'port'>): readonly string[] {
  const named = context.config.lagMonitor.addresses.map((url) => url.replace(/\/$/, ''));
  return named.length > 0 ? named : [localUrl(context, 'lagMonitorHttp')];
}
