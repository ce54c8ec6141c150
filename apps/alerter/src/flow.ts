import {
  applyTopology,
  type Consumer,
  type Delivery,
  openConsumer,
  openPublisher,
  topologyDifferences,
  vhostOf,
} from '@weir/connect-rabbitmq';
import { openDatabase } from '@weir/connect-timescale';
import { retrying } from '@weir/flow';
import type { AppContext } from '@weir/lifecycle';
import { QUEUES } from '@weir/topology';
import { batchQueue } from './batch-queue.ts';
import { AlerterEvents } from './events.ts';
import { openOutbox } from './outbox.ts';
import { ruleSet } from './rules/rule-set.ts';
import { evaluateTelemetry } from './steps/evaluate-telemetry.ts';
import { publishAlerts } from './steps/publish-alerts.ts';
import { recordDeviceEvent } from './steps/record-device-event.ts';
import { watchTopology } from './steps/watch-topology.ts';
import { alertStore } from './store/alert-store.ts';

/** Bytes of messages that one transaction evaluates. */
const BATCH_BYTES = 1 << 20;
const TOPOLOGY_CHECK_MS = 10_000;

/**
 * telemetry (critical first) → evaluate → states, alerts and outbox in one transaction → ack
 *                                                          └▶ weir.alerts
 */
export async function startFlow(context: AppContext): Promise<void> {
  const { config, log, metrics, stopping } = context;
  const { url, heartbeat: heartbeatMs } = config.rabbitmq;
  const { prefetch } = config.alerter;
  const events = new AlerterEvents(log, metrics);
  const rules = ruleSet(config.alerter.rules);
  const database = openDatabase({
    url: config.timescale.url,
    poolSize: Math.min(3, config.timescale.poolSize),
    statementTimeoutMs: config.timescale.statementTimeout,
    name: 'weir alerter',
    log,
  });
  const publisher = openPublisher({ url, heartbeatMs, name: 'weir alerter, alerts', log });
  const store = alertStore(database);
  const outbox = openOutbox(publishAlerts(store, publisher, events), events, (error) =>
    context.fatal('publishing alerts', error),
  );
  const telemetry = batchQueue({
    maxSize: BATCH_BYTES,
    sizeOf: (delivery: Delivery) => delivery.body.length,
    process: evaluateTelemetry({ rules, store, events, onChange: outbox.notify, stopping }),
  });
  const record = recordDeviceEvent(events);
  const consume = (queue: string, handler: (delivery: Delivery) => ReturnType<typeof record>): Consumer =>
    openConsumer({ url, heartbeatMs, name: `weir alerter, ${queue}`, queue, prefetch, handler, log });
  const consumers = [
    consume(QUEUES.alerterCritical.name, (delivery) => telemetry.add(delivery, true)),
    consume(QUEUES.alerterTelemetry.name, (delivery) => telemetry.add(delivery, false)),
    consume(QUEUES.alerterEvents.name, record),
  ];

  context.readyWhen('database', () => database.healthy || 'the database does not answer');
  context.readyWhen('rabbitmq', () => {
    const missing = consumers.find(({ consuming }) => !consuming);
    return missing === undefined || (missing.lastError?.message ?? 'not subscribed');
  });
  context.onStop('accept', 'consumers', async () => {
    await Promise.all(consumers.map((consumer) => consumer.stop()));
  });
  context.onStop('flush', 'alert messages', outbox.stop);
  context.onStop('close', 'publisher', publisher.close);
  context.onStop('close', 'database', database.close);

  const onRetry = (error: unknown, _attempt: number, waitMs: number): void =>
    events.databaseAway(error, waitMs);
  const closed = await retrying(() => store.closeRemoved(rules.ids), { signal: stopping, onRetry });
  events.alertsOfRemovedRules(closed);
  outbox.notify();
  for (const consumer of consumers) consumer.start();
  void watchTopology({
    compare: () => topologyDifferences(config.rabbitmq.managementUrl, vhostOf(url)),
    apply: () => applyTopology({ url }),
    events,
    everyMs: TOPOLOGY_CHECK_MS,
    stopping,
  });
}
