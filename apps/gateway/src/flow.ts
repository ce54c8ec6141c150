import { join } from 'node:path';
import type { AppContext } from '@weir/lifecycle';
import { kafkaTopology } from '@weir/topology';
import { gatewayEvents } from './events.ts';
import { describeApi } from './http/documents.ts';
import { limitRequests } from './http/limit.ts';
import { servePage } from './http/page.ts';
import { addRoutes } from './http/routes.ts';
import { createApi, listenApi } from './http/server.ts';
import { LiveHub } from './live/hub.ts';
import { Newest } from './live/newest.ts';
import { alerterUrls, monitorUrls, openParts } from './parts.ts';
import { answerCached } from './steps/answer-cached.ts';
import { askLiveness } from './steps/ask-liveness.ts';
import { askMonitor } from './steps/ask-monitor.ts';
import { catchUp } from './steps/catch-up.ts';
import { collectStatus } from './steps/collect-status.ts';
import { feedLive } from './steps/feed-live.ts';

const PAGE = join(import.meta.dirname, '../../dashboard/dist');

/**
 * question → limit → Redis while fresh → database → answer; live readings from RabbitMQ → hub → WebSocket; commands →
 * database → RabbitMQ → edges; the state of the pipeline from every part of it. Starts whatever is away: an answer
 * says what is missing.
 */
export async function startGateway(context: AppContext): Promise<void> {
  const { config, log, metrics } = context;
  const events = gatewayEvents(log, metrics);
  const hub = new LiveHub({ events, ...config.gateway });
  const {
    store,
    rollups,
    replays,
    letters,
    alerting,
    cache,
    sources,
    commands,
    desk,
    broadcast,
    subscriptions,
    start,
    close,
  } = openParts(context, hub, events);
  const newest = new Newest();
  const feed = feedLive(config.rabbitmq, hub, newest, events, log);
  const monitor = askMonitor(monitorUrls(context));
  const doors = { mqtt: context.port('mqtt'), http: context.port('edgeHttp') };
  const status = collectStatus({ sources, doors, onFailure: events.probeFailed });
  const cached = answerCached({
    cache,
    events,
    namespace: config.namespace,
    queryDeadline: 2_000,
    ...config.gateway,
  });

  broadcast.hear('changed', ({ what }) => cached.forget(what));
  const changed = (what: string): void => {
    cached.forget(what);
    // A gateway that does not hear of it shows the change when its cache has aged.
    broadcast.tell({ kind: 'changed', what }).catch(() => undefined);
  };

  const app = await createApi(context, events);
  await describeApi(app, context.version);
  await app.register(
    async (api) => {
      await limitRequests(api, config.gateway.rateLimit);
      addRoutes(api, {
        store,
        rollups,
        replays,
        letters,
        alerting,
        answer: cached.answer,
        changed,
        status,
        hub,
        commands,
        desk,
        subscriptions,
        liveness: askLiveness(alerterUrls(context)),
        monitor,
        newest,
        silentAfter: config.gateway.silentAfter,
      });
    },
    { prefix: '/api/v1' },
  );
  await servePage(app, PAGE);

  context.onStop('accept', 'live clients', () => hub.close());
  context.onStop('accept', 'readers of subscriptions', () => subscriptions.stop());
  context.onStop('settle', 'HTTP and WebSocket', () => app.close());
  context.onStop('flush', 'live feed', () => feed.stop());
  context.onStop('close', 'status', () => status.stop());
  context.onStop('close', 'connections', close);
  context.readyWhen('live feed', () => hub.connected || 'waiting for RabbitMQ');
  feed.start();
  void catchUp({
    ...{ monitor, newest, events, stopping: context.stopping },
    group: kafkaTopology(config.namespace).groups.aggregator,
    afterMs: config.gateway.catchUpAfter,
  });
  start();
  await listenApi(app, config.ports.host, context.port('gateway'));
}
