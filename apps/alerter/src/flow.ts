import { hostname } from 'node:os';
import { openPublisher, restoreTopology, topologyDifferences, vhostOf } from '@weir/connect-rabbitmq';
import { openDatabase, standForLeader } from '@weir/connect-timescale';
import type { AppContext } from '@weir/lifecycle';
import { AlerterEvents } from './events.ts';
import { leadAlerts } from './lead.ts';
import { answerLiveness } from './liveness/answer-liveness.ts';
import { watchTopology } from './steps/watch-topology.ts';

const TOPOLOGY_CHECK_MS = 10_000;

/**
 * standby ─▶ active: telemetry (critical first) → evaluate → states, alerts and what to tell in one transaction → ack
 *                                                                └▶ weir.alerts
 */
export async function startFlow(context: AppContext): Promise<void> {
  const { config, log, metrics, stopping } = context;
  const { url, managementUrl, heartbeat: heartbeatMs } = config.rabbitmq;
  const events = new AlerterEvents(log, metrics);
  const holder = `${hostname()}/${process.pid}`;
  const database = openDatabase({
    url: config.timescale.url,
    poolSize: config.timescale.poolSize,
    statementTimeoutMs: config.timescale.statementTimeout,
    idleInTransactionMs: 4_000,
    name: 'weir alerter',
    log,
  });
  const publisher = openPublisher({ url, heartbeatMs, name: `weir alerter ${holder}, alerts`, log });
  events.observe(metrics, () => publisher.blocked);
  const alerts = leadAlerts({
    config,
    events,
    database,
    publisher,
    holder,
    log,
    metrics,
    fatal: context.fatal,
  });
  context.readyWhen('database', () => database.healthy || 'the database does not answer');
  context.readyWhen('rabbitmq', alerts.ready);
  context.answer('/liveness', answerLiveness(alerts.liveness));

  const leading = standForLeader({
    ...{ job: 'alerter', url: config.timescale.url, database, holder, events, stopping },
    lead: alerts.lead,
  }).catch((error: unknown) => context.fatal('acting as the active alerter', error));
  context.onStop('settle', 'evaluation and alert messages', () => leading);
  context.onStop('close', 'notifiers', alerts.close);
  context.onStop('close', 'publisher', publisher.close);
  context.onStop('close', 'database', database.close);

  void watchTopology({
    compare: () => topologyDifferences(managementUrl, vhostOf(url)),
    apply: () => restoreTopology({ url }, managementUrl),
    events,
    everyMs: TOPOLOGY_CHECK_MS,
    stopping,
  });
}
