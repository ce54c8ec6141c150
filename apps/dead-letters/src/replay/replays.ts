import { hostname } from 'node:os';
import { openAdmin, openProducer } from '@weir/connect-kafka';
import { openPublisher } from '@weir/connect-rabbitmq';
import { type AppContext, localUrl } from '@weir/lifecycle';
import { kafkaTopology } from '@weir/topology';
import type { Parts } from '../parts.ts';
import { type AskLag, askLag } from './ask-lag.ts';
import { lookAt } from './destinations.ts';
import { type ReplayEvents, replayEvents } from './events.ts';
import { makeMessages } from './make-message.ts';
import { applyPolicies } from './policies.ts';
import { prepareLetters } from './prepare-letters.ts';
import { sendLetters } from './send-letters.ts';
import { replayWorker } from './worker.ts';

/** Tasks in the database → plan → letters that wait → claimed → Kafka or a consumer's queue → settled. */
export function startReplays(context: AppContext, { database, bytes }: Parts): void {
  const { config, log, metrics, stopping } = context;
  const { maxReplays, maxLag, policies } = config.deadLetters;
  const topics = kafkaTopology(config.namespace);
  const events = replayEvents(metrics, log);
  const kafka = {
    brokers: config.kafka.brokers,
    clientId: 'weir-replay',
    requestTimeoutMs: config.kafka.requestTimeout,
    log,
  };
  const admin = openAdmin(kafka);
  const producer = openProducer(kafka);
  const { url, heartbeat: heartbeatMs } = config.rabbitmq;
  const publisher = openPublisher({ url, heartbeatMs, name: 'weir dead-letters, replays', log });
  // The first letters of a replay need not wait for them; who is away now is asked again then.
  for (const client of [producer, publisher]) client.connect().catch(() => undefined);
  const makeMessage = makeMessages({
    readings: topics.readings,
    templates: config.edge.topics,
    maxFutureMs: config.edge.maxFuture,
  });
  const look = lookAt({
    ...{ admin, topics, maxLag, rabbitmq: config.rabbitmq },
    askLag: heedLag(context, events),
  });
  const ended = replayWorker(
    {
      url: config.timescale.url,
      holder: `${hostname()}/${process.pid}`,
      parts: {
        database,
        prepare: prepareLetters({ database, bytes, makeMessage }),
        send: sendLetters({ producer, publisher, onAway: events.away }),
        look,
        events,
      },
      applyPolicies: applyPolicies({
        database,
        policies,
        maxReplays,
        readings: topics.readings.name,
        look,
        events,
      }),
      fatal: (error) => context.fatal('planning and sending replays', error),
    },
    stopping,
  );
  context.onStop('settle', 'replays', () => ended);
  context.onStop('close', 'replay connections', async () => {
    await Promise.all([admin.close(), producer.close(), publisher.close()]);
  });
}

/** What the lag monitor says, as far as replays are to heed it. */
function heedLag(context: AppContext, events: ReplayEvents): AskLag {
  const { addresses, slowReplays } = context.config.lagMonitor;
  if (slowReplays === 'off') return async () => null;
  const monitors = addresses.length > 0 ? addresses : [localUrl(context, 'lagMonitorHttp')];
  const ask = askLag(monitors.map((url) => url.replace(/\/$/, '')));
  if (slowReplays === 'on') return ask;
  return async (system, group) => {
    const why = await ask(system, group);
    if (why !== null) events.wouldPause(group, why);
    return null;
  };
}
