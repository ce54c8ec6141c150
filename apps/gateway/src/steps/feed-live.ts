import { alert as alertSchema, type LiveReading } from '@weir/api';
import type { Config } from '@weir/config';
import { type Consumer, type Delivery, openLiveQueue } from '@weir/connect-rabbitmq';
import type { Logger } from '@weir/observe';
import { EXCHANGES, liveQueueArguments } from '@weir/topology';
import type { Events } from '../events.ts';
import type { LiveHub } from '../live/hub.ts';
import type { Newest } from '../live/newest.ts';

export interface Feed {
  start(): void;
  stop(): Promise<void>;
}

/** Up to this many watched devices, a batch is searched for their names before any of its lines is parsed. */
const SEARCHABLE = 16;

/**
 * From RabbitMQ to the hub: an exclusive queue of this gateway, bounded, whose oldest messages make room for the
 * newest. Nothing here is owed to anybody: what is missed while RabbitMQ is away is in the windows.
 */
export function feedLive(
  config: Config['rabbitmq'],
  hub: LiveHub,
  newest: Newest,
  events: Events,
  log: Logger,
): Feed {
  let watch: NodeJS.Timeout | undefined;
  const consumer: Consumer = openLiveQueue({
    url: config.url,
    heartbeatMs: config.heartbeat,
    name: 'weir gateway live',
    bindings: [
      { exchange: EXCHANGES.telemetry.name, key: 'telemetry.#' },
      // No header is asked for, so every alert matches.
      { exchange: EXCHANGES.alerts.name, key: '', headers: { 'x-match': 'all' } },
    ],
    arguments: liveQueueArguments,
    handler: (delivery) => {
      if (delivery.exchange === EXCHANGES.alerts.name) readAlert(delivery, hub, events);
      else readTelemetry(delivery, hub, newest, events);
    },
    log,
  });
  const look = (): void => {
    if (consumer.consuming === hub.connected) return;
    hub.setConnected(consumer.consuming);
    events.feedChanged(consumer.consuming, consumer.lastError?.message ?? 'not connected yet');
  };
  return {
    start: () => {
      consumer.start();
      watch = setInterval(look, 500);
    },
    stop: async () => {
      clearInterval(watch);
      await consumer.stop();
    },
  };
}

/** One micro-batch: site and metric in the headers, one line for each reading. */
export function readTelemetry(delivery: Delivery, hub: LiveHub, newest: Newest, events: Events): void {
  const { site, metric } = delivery.headers;
  if (typeof site !== 'string' || typeof metric !== 'string') return;
  const isWatched = hub.size > 0 && hub.wantsSite(site);
  if (!newest.active) {
    if (!isWatched) return;
    const watched = hub.devices;
    if (watched !== null && watched.size <= SEARCHABLE && !holdsOneOf(delivery.body, watched)) return;
  }
  for (const line of delivery.body.toString('utf8').split('\n')) {
    if (line === '') continue;
    try {
      const { device, value, ts, at, unit } = JSON.parse(line) as Partial<LiveReading>;
      if (typeof device !== 'string' || typeof value !== 'number' || typeof ts !== 'number') {
        throw new TypeError('device, value or ts is missing');
      }
      const reading: LiveReading = {
        site,
        device,
        metric,
        value,
        ts,
        ...(typeof at === 'number' ? { at } : {}),
        ...(typeof unit === 'string' ? { unit } : {}),
      };
      newest.take(reading);
      if (isWatched) hub.push(reading);
    } catch (error) {
      events.liveUnreadable('telemetry', error);
    }
  }
}

function holdsOneOf(body: Buffer, devices: ReadonlySet<string>): boolean {
  for (const device of devices) if (body.includes(`"${device}"`)) return true;
  return false;
}

function readAlert(delivery: Delivery, hub: LiveHub, events: Events): void {
  try {
    hub.pushAlert(alertSchema.parse(JSON.parse(delivery.body.toString('utf8'))));
  } catch (error) {
    events.liveUnreadable('alert', error);
  }
}
