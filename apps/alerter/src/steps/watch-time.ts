import { setTimeout as delay } from 'node:timers/promises';
import {
  type Arrivals,
  type EdgeProgress,
  type HeartbeatQueue,
  MissingReadings,
  type Observation,
} from '@weir/alerts';
import { isFenced } from '@weir/connect-timescale';
import { isTransient, retrying } from '@weir/flow';
import type { Engine } from '../engine.ts';
import type { AlerterEvents } from '../events.ts';

const TICK_MS = 250;
/** Time of edges moves once a second. */
const JUDGE_EVERY_TICKS = 4;
/** Observations of one transaction. */
const OBSERVATIONS = 1_000;

export interface WatchTimeOptions {
  readonly engine: Engine;
  readonly maxSeries: number;
  /** How long devices may take to come back to an edge that did not listen, milliseconds. */
  readonly reconnectMs: number;
  readonly edgeOf: (site: string, device: string) => string | undefined;
  readonly events: AlerterEvents;
  readonly ended: AbortSignal;
  readonly fatal: (doing: string, error: unknown) => never;
}

/** What comes to pass because nothing happens: missing readings, hold times of silent devices, waiting alerts. */
export interface TimeWatch {
  /** What arrivals change; to be evaluated with their readings. */
  heard(arrivals: Arrivals): Observation[];
  progress(said: EdgeProgress, queue: HeartbeatQueue): void;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
}

/** Begins with what an earlier alerter has stored. Throws when `ended` aborts. */
export async function watchTime(options: WatchTimeOptions): Promise<TimeWatch> {
  const { engine, events, ended, fatal } = options;
  const retry = <T>(work: () => Promise<T>): Promise<T> =>
    retrying(work, {
      baseMs: 200,
      maxMs: 5_000,
      signal: ended,
      shouldRetry: (error) => isTransient(error) && !isFenced(error),
      onRetry: (error, _attempt, waitMs) => events.databaseAway(error, waitMs),
    });
  let { rules } = engine;
  const missing = new MissingReadings(rules, options);
  for (const { id } of rules.ofKind('missing')) missing.restore(await retry(() => engine.seriesOf(id)));

  const judge = async (): Promise<void> => {
    const found = missing.judge();
    for (let from = 0; from < found.length; from += OBSERVATIONS) {
      const observations = found.slice(from, from + OBSERVATIONS);
      const { changes } = await retry(() => engine.evaluate({ observations }));
      events.changed(changes);
    }
    if (Number.isFinite(missing.newest)) await retry(() => engine.pass(Math.round(missing.newest)));
  };
  const run = async (): Promise<void> => {
    for (let tick = 0; !ended.aborted; tick++) {
      await delay(TICK_MS, undefined, { signal: ended }).catch(() => undefined);
      if (ended.aborted) return;
      if (engine.rules !== rules) {
        rules = engine.rules;
        missing.setRules(rules);
      }
      await retry(() => engine.announce());
      if (tick % JUDGE_EVERY_TICKS === 0) await judge();
    }
  };
  const running = run().catch((error: unknown) => {
    if (!ended.aborted && !isTransient(error)) fatal('telling of what is missing', error);
  });
  return {
    heard: (arrivals) => missing.heard(arrivals),
    progress: (said, queue) => missing.progress(said, queue, performance.now()),
    stop: () => running,
  };
}
