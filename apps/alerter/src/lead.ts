import { once } from 'node:events';
import { mergeRules } from '@weir/alerts';
import type { Config } from '@weir/config';
import {
  type Consumer,
  type Delivery,
  openBroadcast,
  openConsumer,
  type Publisher,
} from '@weir/connect-rabbitmq';
import { type Database, type Leadership, listRules } from '@weir/connect-timescale';
import type { Check, Logger, Metrics } from '@weir/observe';
import { QUEUES } from '@weir/topology';
import { batchQueue } from './batch-queue.ts';
import { openEngine } from './engine.ts';
import type { AlerterEvents } from './events.ts';
import { LivenessEvents } from './liveness/events.ts';
import { livenessStore } from './liveness/liveness-store.ts';
import { type LivenessWatch, watchLiveness } from './liveness/watch-liveness.ts';
import { NotifyEvents } from './notify/events.ts';
import { openNotifications } from './notify/notifications.ts';
import { openLanes } from './notify/open-lanes.ts';
import { readQuiet } from './notify/read-quiet.ts';
import { AlerterHop } from './pressure.ts';
import { CONNECTION_NAME, closeOldConnections } from './steps/close-old-connections.ts';
import { evaluateTelemetry } from './steps/evaluate-telemetry.ts';
import { recordDeviceEvent } from './steps/record-device-event.ts';
import { type TimeWatch, watchTime } from './steps/watch-time.ts';
import { watchWindows } from './steps/watch-windows.ts';

const RETRY = { stage: 'alerter' } as const;
/** Bytes of messages that one transaction evaluates, at most. */
const BATCH_BYTES = 1 << 20;
/** How long a critical reading may have to wait for the batch before it. */
const BATCH_TARGET_MS = 20;

export interface LeadOptions {
  readonly config: Config;
  readonly events: AlerterEvents;
  readonly database: Database;
  readonly publisher: Publisher;
  /** Name of this process. */
  readonly holder: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly fatal: (doing: string, error: unknown) => never;
}

/** What the active alerter does. */
export function leadAlerts(options: LeadOptions) {
  const { config, events, database, publisher, holder, log, metrics, fatal } = options;
  const { url, managementUrl, heartbeat: heartbeatMs } = config.rabbitmq;
  const { prefetch } = config.alerter;
  const lanes = openLanes(config.alerter, publisher);
  const notifyEvents = new NotifyEvents(log, metrics);
  const livenessEvents = new LivenessEvents(log, metrics);
  // critical and normal telemetry
  const hop = new AlerterHop(metrics, 2 * prefetch);
  const broadcast = openBroadcast({ url, heartbeatMs, name: `weir alerter ${holder}, broadcast`, log });
  let consumers: readonly Consumer[] | null = null;
  let leading = false;
  let liveness: LivenessWatch | null = null;

  const lead = async (leadership: Leadership): Promise<void> => {
    const { transaction, confirm } = leadership;
    /** What one part cannot mend ends all of them. */
    const over = new AbortController();
    const ended = AbortSignal.any([leadership.ended, over.signal]);
    leading = true;
    let time: TimeWatch | null = null;
    let windows: Promise<void> | null = null;
    const engine = openEngine({
      ...{
        rules: [],
        transaction: hop.inDatabase(transaction),
        confirm,
        onChange: () => notifications.notify(),
      },
    });
    const notifications = openNotifications({
      ...{ lanes, transaction, database, ended, fatal, events: notifyEvents },
      reload: async (sql) => {
        const { rules, problems } = mergeRules(config.alerter.rules, await listRules(sql));
        events.alertsOfRemovedRules(await engine.setRules(rules));
        notifyEvents.rulesInForce(rules.length, problems);
        return readQuiet(sql, config.alerter.maintenance, notifyEvents);
      },
    });
    const record = recordDeviceEvent(events);
    const consume = (queue: string, handler: (delivery: Delivery) => ReturnType<typeof record>): Consumer => {
      const name = `${CONNECTION_NAME} ${holder}, ${queue}`;
      return openConsumer({ url, heartbeatMs, name, queue, prefetch, handler, retry: RETRY, log });
    };
    try {
      await closeOldConnections({ url, managementUrl }, holder, events);
      await notifications.ready;
      const watch = await watchLiveness({
        ...{ settings: config.alerter.liveness, engine, events: livenessEvents, ended, fatal },
        store: livenessStore(database),
        announce: () => broadcast.tell({ kind: 'watching' }),
        listening: () => consumers?.every(({ consuming }) => consuming) ?? false,
        onProgress: (said, queue) => time?.progress(said, queue),
      });
      liveness = watch;
      const timed = await watchTime({
        ...{ engine, events, ended, fatal },
        maxSeries: config.alerter.liveness.maxDevices,
        reconnectMs: config.alerter.liveness.reconnect,
        edgeOf: (site, device) => watch.view(site, device)?.edge,
      });
      time = timed;
      const telemetry = batchQueue({
        maxSize: BATCH_BYTES,
        sizeOf: (delivery: Delivery) => delivery.body.length,
        targetMs: BATCH_TARGET_MS,
        process: hop.working(
          watch.telemetry(
            evaluateTelemetry({ engine, heard: timed.heard, events, onDoubt: notifications.notify, ended }),
          ),
        ),
      });
      consumers = [
        consume(
          QUEUES.alerterCritical.name,
          hop.inHand((delivery) => telemetry.add(delivery, true)),
        ),
        consume(
          QUEUES.alerterTelemetry.name,
          hop.inHand((delivery) => telemetry.add(delivery, false)),
        ),
        consume(QUEUES.alerterEvents.name, watch.event(record)),
      ];
      for (const consumer of consumers) consumer.start();
      windows = watchWindows({
        ...{ engine, database, events, ended, fatal },
        outOfOrdernessMs: config.aggregator.outOfOrderness,
        maxScored: config.alerter.maxScored,
      });
      if (!ended.aborted) await once(ended, 'abort');
    } catch (error) {
      if (!ended.aborted) throw error;
    } finally {
      over.abort();
      await Promise.all((consumers ?? []).map((consumer) => consumer.stop()));
      consumers = null;
      leading = false;
      await Promise.all([liveness?.stop(), time?.stop(), windows]);
      liveness = null;
      await notifications.stop();
    }
  };

  /** A standby consumes nothing and is ready to. */
  const ready: Check = () => {
    if (leading && consumers === null) return 'taking over';
    const missing = consumers?.find(({ consuming }) => !consuming);
    return missing === undefined || (missing.lastError?.message ?? 'not subscribed');
  };
  const close = async (): Promise<void> => {
    await Promise.all([broadcast.stop(), ...lanes.map(({ lane }) => lane.destination.close())]);
  };
  return {
    lead,
    ready,
    close,
    /** Who watches devices at the moment; null: this is not the active alerter. */
    liveness: (): Pick<LivenessWatch, 'view'> | null => liveness,
  };
}
