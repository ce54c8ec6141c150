import {
  type DeviceLiveness,
  type EdgeProgress,
  type HeartbeatQueue,
  Liveness,
  type Observation,
} from '@weir/alerts';
import type { Config } from '@weir/config';
import type { Delivery, Settlement } from '@weir/connect-rabbitmq';
import { isTransient, retrying } from '@weir/flow';
import { EDGE_KEYS, QUEUES } from '@weir/topology';
import type { Engine } from '../engine.ts';
import type { LivenessEvents } from './events.ts';
import type { LivenessStore } from './liveness-store.ts';
import { edgeName, type Heard, readAlive, readEvent, readProgress } from './read-edge-message.ts';
import { scanHeartbeats } from './scan-heartbeats.ts';

const TICK_MS = 1_000;
const SAVE_EVERY_TICKS = 10;
const ANNOUNCE_EVERY_TICKS = 2;
const SAVE_ROWS = 2_000;
/** Observations of one transaction. */
const OBSERVATIONS = 1_000;
/** What edges call the site of a device that they do not know. */
const NO_SITE = '-';
const BACKOFF = { baseMs: 200, maxMs: 5_000 };

export interface WatchLivenessOptions {
  readonly settings: Config['alerter']['liveness'];
  /** With its rules in force. */
  readonly engine: Pick<Engine, 'rules' | 'evaluate' | 'seriesOf'>;
  readonly store: LivenessStore;
  readonly events: LivenessEvents;
  /** Whether messages can arrive at the moment. */
  readonly listening: () => boolean;
  /** Told as well how far edges are. */
  readonly onProgress: (said: EdgeProgress, queue: HeartbeatQueue) => void;
  /** Says to the edges that somebody watches. */
  readonly announce: () => Promise<void>;
  readonly ended: AbortSignal;
  readonly fatal: (doing: string, error: unknown) => never;
}

type Handle<T, R> = (given: T) => Promise<R>;

/** Watches devices for silence while this alerter is the active one. */
export interface LivenessWatch {
  /** Hears the telemetry messages of a batch, and hands on those that are for the rules. */
  telemetry(
    next: Handle<readonly Delivery[], readonly Settlement[]>,
  ): Handle<readonly Delivery[], Settlement[]>;
  /** Hears an event, and hands it on when it is one of a device. */
  event(next: Handle<Delivery, Settlement>): Handle<Delivery, Settlement>;
  view(site: string, device: string): DeviceLiveness | undefined;
  /** Resolves when nothing is under way any more. What is not saved is learned again. */
  stop(): Promise<void>;
}

const HEARTBEATS: Readonly<Record<string, HeartbeatQueue>> = {
  [QUEUES.alerterTelemetry.name]: 'normal',
  [QUEUES.alerterCritical.name]: 'critical',
  [QUEUES.alerterEvents.name]: 'events',
};

/** Begins with what an earlier alerter has saved and with the alerts that are open. */
export async function watchLiveness(options: WatchLivenessOptions): Promise<LivenessWatch> {
  const { settings, engine, store, events, listening, announce, ended, fatal } = options;
  const now = (): number => performance.now();
  const retry = <T>(work: () => Promise<T>): Promise<T> =>
    retrying(work, { ...BACKOFF, signal: ended, onRetry: (error) => events.databaseAway(error) });
  const liveness = new Liveness({
    maxDevices: settings.maxDevices,
    reconnectMs: settings.reconnect,
    forgetMs: settings.forget,
  });
  let { rules } = engine;
  const followRules = (): void => liveness.setRules(rules.ofKind('offline'), rules.ofKind('edge-silent'));
  followRules();

  const kept = await retry(() => store.load(Date.now() - settings.forget, settings.maxDevices));
  liveness.restore(kept, now());
  for (const { id } of [...rules.ofKind('offline'), ...rules.ofKind('edge-silent')]) {
    const known = await retry(() => engine.seriesOf(id));
    const open = known.filter(({ state }) => state.phase !== 'ok');
    liveness.restoreOpen(
      open.map(({ series, state }) => ({ ...series, lastTs: state.lastTs })),
      now(),
    );
  }
  events.restored(kept.length);

  let waiting: Observation[] = [];
  let working: Promise<void> | null = null;
  /** In their order, each until it is stored: a device is told of once. */
  const work = async (): Promise<void> => {
    while (waiting.length > 0) {
      const observations = waiting.slice(0, OBSERVATIONS);
      await retry(() => engine.evaluate({ observations }));
      waiting = waiting.slice(observations.length);
    }
  };
  const begin = (doing: string, job: () => Promise<void>): Promise<void> =>
    job().catch((error: unknown) => {
      if (!ended.aborted && !isTransient(error)) fatal(doing, error);
    });
  const observe = (found: readonly Observation[]): void => {
    if (found.length === 0 || ended.aborted) return;
    waiting.push(...found);
    working ??= begin('telling who is silent', work).finally(() => {
      working = null;
    });
  };

  let saving: Promise<void> | null = null;
  const save = async (): Promise<void> => {
    const gone = liveness.takeForgotten();
    if (gone.length > 0) await retry(() => store.forget(gone));
    for (;;) {
      const { slots, kept: rows } = liveness.takeUnsaved(SAVE_ROWS);
      if (rows.length > 0) {
        await retry(() => store.save(rows)).catch((error: unknown) => {
          liveness.devices.giveBack(slots);
          throw error;
        });
      }
      if (slots.length < SAVE_ROWS) return;
    }
  };

  const judge = (): void => {
    if (engine.rules !== rules) {
      rules = engine.rules;
      followRules();
    }
    observe(liveness.judge());
  };
  let ticks = 0;
  const timer = setInterval(() => {
    judge();
    observe(liveness.judgeEdges(now(), Date.now(), listening()));
    events.counted(liveness.counts);
    // an edge that misses it tells less often
    if (ticks % ANNOUNCE_EVERY_TICKS === 0) announce().catch(() => undefined);
    ticks++;
    if (ticks % SAVE_EVERY_TICKS !== 0 || saving !== null) return;
    saving = begin('saving the rhythms of devices', save).finally(() => {
      saving = null;
    });
  }, TICK_MS);

  const progress = ({ queue, body, key }: Delivery): void => {
    const said = readProgress(body);
    const through = HEARTBEATS[queue];
    if (said === undefined || through === undefined) events.unreadable(key);
    else {
      liveness.progress(said, through, now());
      options.onProgress(said, through);
    }
  };
  const hear = ({ headers, body }: Delivery): void => {
    const { site: name, edge: source } = headers;
    if (typeof name !== 'string' || typeof source !== 'string') return;
    const edge = liveness.edge(edgeName(source), now());
    if (edge === undefined) return;
    const site = liveness.devices.site(name);
    scanHeartbeats(body, (device, at) => liveness.heard(site, device, edge, at));
  };

  const hearOne = ({ site: name, device, edge: source, at }: Heard): void => {
    const edge = liveness.edge(source, now());
    const { devices } = liveness;
    const site = name === NO_SITE ? devices.onlySiteOf(device) : devices.site(name);
    if (edge !== undefined && site !== undefined) liveness.heard(site, device, edge, at);
  };

  return {
    telemetry: (next) =>
      async function hearTelemetry(deliveries) {
        const forRules: Delivery[] = [];
        for (const delivery of deliveries) {
          if (delivery.key === EDGE_KEYS.progress) progress(delivery);
          else {
            hear(delivery);
            forRules.push(delivery);
          }
        }
        judge();
        const settled = forRules.length === 0 ? [] : await next(forRules);
        let place = 0;
        return deliveries.map(({ key }) =>
          key === EDGE_KEYS.progress ? 'ack' : (settled[place++] ?? 'requeue'),
        );
      },
    event: (next) =>
      async function hearEvent(delivery) {
        const { key, body } = delivery;
        if (key === EDGE_KEYS.progress) {
          progress(delivery);
          judge();
          return 'ack';
        }
        const heard = key === EDGE_KEYS.alive ? readAlive(body) : [readEvent(body)];
        if (heard === undefined) events.unreadable(key);
        for (const one of heard ?? []) if (one !== undefined) hearOne(one);
        return key === EDGE_KEYS.alive ? 'ack' : next(delivery);
      },
    view: (site, device) => liveness.view(site, device),
    stop: async () => {
      clearInterval(timer);
      await Promise.all([working, saving]);
    },
  };
}
