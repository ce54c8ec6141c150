import { openBroadcast } from '@weir/connect-rabbitmq';
import { every } from '@weir/flow';
import { type AppContext, localUrl, namedUrls } from '@weir/lifecycle';
import { APPS, type AppKind } from '@weir/pressure';
import { APP_PORTS } from '@weir/topology';
import { PressureEvents } from './events.ts';
import { EVERY_MS, PressureWatch } from './watch.ts';

/** How long edges remember a throttle: four rounds may be lost. */
const FOR_MS = 8_000;

/**
 * Watches the pressure until the stop, and answers `/pressure`. Every monitor does, whether it leads or not: they come
 * to the same result, and a throttle is needed most when the database cannot say who leads.
 */
export function watchPressure(context: AppContext): Pick<PressureWatch, 'current' | 'counted'> {
  const { config, log, metrics, stopping } = context;
  const { throttle } = config.lagMonitor;
  const broadcast = openBroadcast({
    url: config.rabbitmq.url,
    heartbeatMs: config.rabbitmq.heartbeat,
    name: 'weir lag-monitor, broadcast',
    log,
  });
  const watch = new PressureWatch({
    apps: addresses(context),
    events: new PressureEvents(log, metrics),
    throttle: { mode: throttle.mode, lagMs: throttle.lag, recoveryMs: throttle.recovery },
    tell: (ratePerSecond) =>
      broadcast.tell({ kind: 'throttle', class: 'normal', ratePerSecond, forMs: FOR_MS }),
  });
  context.answer('/pressure', () => {
    const { current } = watch;
    return current === null
      ? { status: 503, body: { error: 'the apps have not been asked yet' } }
      : { status: 200, body: current };
  });
  const running = every(EVERY_MS, stopping, () => watch.measure()).catch((error: unknown) =>
    context.fatal('watching the pressure', error),
  );
  context.onStop('settle', 'watching the pressure', () => running);
  context.onStop('close', 'broadcast of the pressure', () => broadcast.stop());
  return watch;
}

/** Where the apps answer: as the settings say, else one of each kind beside this process. */
export function addresses(context: AppContext): { app: AppKind; url: string }[] {
  return APPS.flatMap((app) =>
    (namedUrls(context, app) ?? [localUrl(context, APP_PORTS[app])]).map((url) => ({ app, url })),
  );
}
