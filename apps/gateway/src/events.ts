import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

/** What a cache lookup came to; the label of `weir_cache_requests_total`. */
export type CacheResult = 'hit' | 'miss' | 'stale' | 'stale-if-error' | 'bypass';

/** Named events of the gateway. Each owns its metric and, where one is due, its log line. */
export interface Events {
  cacheAnswered(result: CacheResult): void;
  cacheUnavailable(error: unknown): void;
  databaseUnavailable(doing: string, error: unknown): void;
  answered(route: string, status: number, seconds: number): void;
  requestFailed(requestId: string, url: string, error: unknown): void;
  liveDelivered(readings: number): void;
  liveDropped(readings: number): void;
  liveUnreadable(what: string, error: unknown): void;
  liveClients(count: number): void;
  feedChanged(connected: boolean, why: string): void;
  /** @param behindMs time lag of the windows; null: not known */
  catchingUp(active: boolean, behindMs: number | null): void;
  probeFailed(part: string, error: unknown): void;
  commandEnded(state: string): void;
  commandsWait(why: string): void;
}

export function gatewayEvents(log: Logger, metrics: Metrics): Events {
  const limited = rateLimited();
  const cache = metrics.counter('weir_cache_requests_total', 'Answers by what the cache had for them', [
    'result',
  ]);
  const seconds = metrics.histogram('weir_http_request_seconds', 'Time to answer an API request', [
    'route',
    'status',
  ]);
  const delivered = metrics.counter(
    'weir_live_delivered_readings_total',
    'Readings sent to WebSocket clients',
  );
  const dropped = metrics.counter(
    'weir_live_dropped_readings_total',
    'Readings dropped because a WebSocket client was slow',
  );
  const unreadable = metrics.counter(
    'weir_live_unreadable_messages_total',
    'Live messages that could not be read',
    ['what'],
  );
  const clients = metrics.gauge('weir_live_clients', 'WebSocket clients');
  const catching = metrics.gauge('weir_catching_up', '1 while newest values come from the live feed');
  catching.set(0);
  const feed = metrics.gauge('weir_live_feed_connected', '1 while RabbitMQ feeds the gateway');
  const probes = metrics.counter('weir_status_probe_failures_total', 'Parts that did not answer the status', [
    'part',
  ]);
  const commands = metrics.counter('weir_commands_total', 'Commands to devices by how they ended', ['state']);
  return {
    cacheAnswered: (result) => cache.inc({ result }),
    cacheUnavailable: (error) =>
      limited('cache', (suppressed) =>
        log.warn({ suppressed }, `answering without the cache: ${errorMessage(error)}`),
      ),
    databaseUnavailable: (doing, error) =>
      limited('database', (suppressed) =>
        log.warn({ err: error, suppressed }, `${doing}: ${errorMessage(error)}`),
      ),
    answered: (route, status, took) => seconds.observe({ route, status: String(status) }, took),
    requestFailed: (requestId, url, error) =>
      log.error({ err: error, requestId, url }, `answering a request: ${errorMessage(error)}`),
    liveDelivered: (readings) => delivered.inc(readings),
    liveDropped: (readings) => dropped.inc(readings),
    liveUnreadable: (what, error) => {
      unreadable.inc({ what });
      limited(`unreadable ${what}`, (suppressed) =>
        log.warn({ suppressed }, `a live ${what} message cannot be read: ${errorMessage(error)}`),
      );
    },
    liveClients: (count) => clients.set(count),
    feedChanged: (connected, why) => {
      feed.set(connected ? 1 : 0);
      if (connected) log.info('live readings: connected to RabbitMQ');
      else limited('feed', () => log.warn(`live readings: RabbitMQ is away: ${why}`));
    },
    catchingUp: (active, behindMs) => {
      catching.set(active ? 1 : 0);
      if (active)
        log.warn({ behindMs }, 'the windows are behind: newest values come from the live feed meanwhile');
      else log.info({ behindMs }, 'the windows have caught up: newest values are the stored ones again');
    },
    commandEnded: (state) => commands.inc({ state }),
    commandsWait: (why) =>
      limited('commands', (suppressed) =>
        log.warn({ suppressed }, `commands to devices wait; each keeps its deadline: ${why}`),
      ),
    probeFailed: (part, error) => {
      probes.inc({ part });
      limited(`probe ${part}`, () => log.debug({ err: error }, `status of ${part}: ${errorMessage(error)}`));
    },
  };
}
