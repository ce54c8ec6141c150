import { once } from 'node:events';
import type { Config } from '@weir/config';
import { type Consumer, type Delivery, openConsumer, type Publisher } from '@weir/connect-rabbitmq';
import type { Database } from '@weir/connect-timescale';
import { retrying } from '@weir/flow';
import type { Check, Logger } from '@weir/observe';
import { QUEUES } from '@weir/topology';
import { batchQueue } from './batch-queue.ts';
import { openEngine } from './engine.ts';
import type { AlerterEvents } from './events.ts';
import type { Leadership } from './leadership.ts';
import { openOutbox } from './outbox.ts';
import { CONNECTION_NAME, closeOldConnections } from './steps/close-old-connections.ts';
import { evaluateTelemetry } from './steps/evaluate-telemetry.ts';
import { publishAlerts } from './steps/publish-alerts.ts';
import { recordDeviceEvent } from './steps/record-device-event.ts';
import { outboxStore } from './store/outbox-store.ts';

/** Bytes of messages that one transaction evaluates. */
const BATCH_BYTES = 1 << 20;

export interface LeadOptions {
  readonly config: Config;
  readonly events: AlerterEvents;
  readonly database: Database;
  readonly publisher: Publisher;
  /** Name of this process. */
  readonly holder: string;
  readonly log: Logger;
  readonly fatal: (doing: string, error: unknown) => never;
}

/** What the active alerter does. */
export function leadAlerts({ config, events, database, publisher, holder, log, fatal }: LeadOptions) {
  const { url, managementUrl, heartbeat: heartbeatMs } = config.rabbitmq;
  const { prefetch } = config.alerter;
  let consumers: readonly Consumer[] | null = null;

  const lead = async ({ ended, transaction }: Leadership): Promise<void> => {
    const outbox = openOutbox(
      publishAlerts(outboxStore(database), publisher, events),
      events,
      (error): never => fatal('publishing alerts', error),
    );
    const engine = openEngine({ rules: [], transaction, onChange: outbox.notify });
    const telemetry = batchQueue({
      maxSize: BATCH_BYTES,
      sizeOf: (delivery: Delivery) => delivery.body.length,
      process: evaluateTelemetry({ engine, events, onDoubt: outbox.notify, ended }),
    });
    const record = recordDeviceEvent(events);
    const consume = (queue: string, handler: (delivery: Delivery) => ReturnType<typeof record>): Consumer => {
      const name = `${CONNECTION_NAME} ${holder}, ${queue}`;
      return openConsumer({ url, heartbeatMs, name, queue, prefetch, handler, log });
    };
    try {
      await closeOldConnections({ url, managementUrl }, holder, events);
      const closed = await retrying(() => engine.setRules(config.alerter.rules), {
        signal: ended,
        onRetry: (error, _attempt, waitMs) => events.databaseAway(error, waitMs),
      });
      events.alertsOfRemovedRules(closed);
      outbox.notify();
      consumers = [
        consume(QUEUES.alerterCritical.name, (delivery) => telemetry.add(delivery, true)),
        consume(QUEUES.alerterTelemetry.name, (delivery) => telemetry.add(delivery, false)),
        consume(QUEUES.alerterEvents.name, record),
      ];
      for (const consumer of consumers) consumer.start();
      if (!ended.aborted) await once(ended, 'abort');
    } catch (error) {
      if (!ended.aborted) throw error;
    } finally {
      await Promise.all((consumers ?? []).map((consumer) => consumer.stop()));
      consumers = null;
      await outbox.stop();
    }
  };

  /** A standby consumes nothing and is ready to. */
  const ready: Check = () => {
    const missing = consumers?.find(({ consuming }) => !consuming);
    return missing === undefined || (missing.lastError?.message ?? 'not subscribed');
  };
  return { lead, ready };
}
