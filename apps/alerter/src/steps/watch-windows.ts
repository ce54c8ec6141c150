import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import type { Observation } from '@weir/alerts';
import type { RuleOf } from '@weir/config/alert-rules';
import {
  type Database,
  isFenced,
  readClosedWindows,
  readPieces,
  seriesOfMetrics,
  type WatchedSeries,
} from '@weir/connect-timescale';
import { isTransient } from '@weir/flow';
import { ANOMALY_MEMORY_MS, AnomalyDetector, LEVEL_MS, levelIndex, scoreWindow } from '@weir/windows';
import type { Engine } from '../engine.ts';
import type { AlerterEvents } from '../events.ts';
import { observeWindow } from './observe-windows.ts';

const TICK_MS = 1_000;
/** Series of one statement, and windows of one series in it: some 50 ms of the database. */
const SERIES_AT_ONCE = 1_000;
const WINDOWS_AT_ONCE = 100;
/** Observations of one transaction. */
const OBSERVATIONS = 1_000;
/** Windows that are scored without a pause for other work: some 5 ms. */
const SCORED_AT_ONCE = 250;
/** Windows that a detector begins with, at most. */
const MOST_LEARNT = 40_000;

type WindowRule = RuleOf<'window' | 'anomaly'>;

export interface WatchWindowsOptions {
  readonly engine: Engine;
  readonly database: Database;
  readonly outOfOrdernessMs: number;
  /** Series that are scored for anomalies, 0.5 MB each; the rest is told and left out. */
  readonly maxScored: number;
  readonly events: AlerterEvents;
  readonly ended: AbortSignal;
  readonly fatal: (doing: string, error: unknown) => never;
}

interface Watched extends WatchedSeries {
  readonly rules: readonly WindowRule[];
  /** Start of the newest window that the rules have seen; null: none. */
  after: number | null;
  /** Null: no rule asks for scores, or the history is not read yet. */
  detector: AnomalyDetector | null;
}

/** The series that rules about windows of one level watch. */
interface Level {
  readonly index: number;
  readonly rules: readonly WindowRule[];
  readonly series: Watched[];
  /** Ends of the newest windows that are stored, by rule, site and device. */
  readonly seen: ReadonlyMap<string, number>;
  /** Highest series id that was looked at. */
  lastId: number;
  nextAt: number;
}

const keyOf = (rule: string, site: string, device: string): string => `${rule}\0${site}\0${device}`;

/**
 * Gives closed windows to the rules about them, each window once, a little after it has closed. Ends when `ended`
 * aborts. A late reading that changes a window afterwards does not change what a rule made of it.
 */
export async function watchWindows(options: WatchWindowsOptions): Promise<void> {
  const { engine, database, outOfOrdernessMs, maxScored, events, ended, fatal } = options;
  let { rules } = engine;
  let levels: Level[] | null = null;
  let scored = 0;

  const begin = async (): Promise<Level[]> => {
    rules = engine.rules;
    scored = 0;
    const all: WindowRule[] = [...rules.ofKind('window'), ...rules.ofKind('anomaly')];
    const seen = new Map<string, number>();
    for (const { id } of all) {
      for (const { series, state } of await engine.seriesOf(id))
        seen.set(keyOf(id, series.site, series.device), state.lastTs);
    }
    return [...new Set(all.map(({ level }) => level))].map((name) => ({
      index: levelIndex(name),
      rules: all.filter(({ level }) => level === name),
      ...{ series: [], seen, lastId: 0, nextAt: 0 },
    }));
  };

  const findSeries = async (level: Level, lengthMs: number): Promise<void> => {
    const metrics = [...new Set(level.rules.map(({ metric }) => metric))];
    for (;;) {
      const found = await seriesOfMetrics(database, metrics, level.lastId, SERIES_AT_ONCE);
      for (const one of found) {
        const { site, device, metric } = one;
        const own = level.rules.filter(
          (rule) =>
            rule.metric === metric &&
            (rule.site === '*' || rule.site === site) &&
            (rule.device === '*' || rule.device === device),
        );
        const ends = own.flatMap(({ id }) => level.seen.get(keyOf(id, site, device)) ?? []);
        const after = ends.length === 0 ? null : Math.min(...ends) - lengthMs;
        if (own.length > 0) level.series.push({ ...one, rules: own, after, detector: null });
      }
      level.lastId = found.at(-1)?.seriesId ?? level.lastId;
      if (found.length < SERIES_AT_ONCE) return;
    }
  };

  /** Null: as many series as allowed are scored already. */
  const detectorOf = async (one: Watched, level: Level, before: number): Promise<AnomalyDetector | null> => {
    if (one.detector !== null) return one.detector;
    if (scored >= maxScored) return null;
    scored++;
    const lengthMs = LEVEL_MS[level.index] as number;
    const from = before - Math.min(ANOMALY_MEMORY_MS, MOST_LEARNT * lengthMs);
    const piece = { level: level.index, from, to: before, merged: false };
    const history = await readPieces(database, one.seriesId, [piece]);
    const detector = new AnomalyDetector();
    for (const [index, { figures }] of history.entries()) {
      scoreWindow(detector, figures);
      if (index % SCORED_AT_ONCE === 0) {
        await setImmediate();
        ended.throwIfAborted();
      }
    }
    one.detector = detector;
    return detector;
  };

  /** True when there may be more at once. */
  const look = async (level: Level, some: readonly Watched[], lengthMs: number): Promise<boolean> => {
    const found = await readClosedWindows(database, { outOfOrdernessMs }, level.index, some, WINDOWS_AT_ONCE);
    const byId = new Map(some.map((one) => [one.seriesId, one]));
    const newest = new Map<Watched, number>();
    const observations: Observation[] = [];
    let leftOut = 0;
    try {
      for (const { seriesId, figures } of found) {
        const one = byId.get(seriesId);
        if (one === undefined) continue;
        newest.set(one, figures.start);
        const isScored = one.rules.some(({ kind }) => kind === 'anomaly');
        const detector = isScored ? await detectorOf(one, level, figures.start) : null;
        if (isScored && detector === null) leftOut++;
        const score = detector === null ? null : scoreWindow(detector, figures).score;
        const { site, device, metric } = one;
        for (const rule of one.rules) {
          const series = { rule: rule.id, site, device, metric };
          observations.push(observeWindow(rule, series, figures, score, figures.start + lengthMs));
        }
      }
      for (let from = 0; from < observations.length; from += OBSERVATIONS) {
        const part = observations.slice(from, from + OBSERVATIONS);
        const { changes } = await engine.evaluate({ observations: part });
        events.changed(changes);
      }
    } catch (error) {
      // The windows come again, and a detector must not know them before.
      for (const one of newest.keys()) {
        if (one.detector !== null) scored--;
        one.detector = null;
      }
      throw error;
    }
    if (leftOut > 0) events.notScored(maxScored);
    for (const [one, start] of newest) one.after = start;
    return found.length >= WINDOWS_AT_ONCE && found.length > some.length;
  };

  const round = async (): Promise<void> => {
    if (levels === null || engine.rules !== rules) levels = await begin();
    for (const level of levels) {
      if (performance.now() < level.nextAt) continue;
      const lengthMs = LEVEL_MS[level.index] as number;
      await findSeries(level, lengthMs);
      for (let from = 0; from < level.series.length && !ended.aborted; from += SERIES_AT_ONCE) {
        const some = level.series.slice(from, from + SERIES_AT_ONCE);
        while (!ended.aborted && (await look(level, some, lengthMs)));
      }
      level.nextAt = performance.now() + Math.min(10_000, lengthMs / 10);
    }
  };

  while (!ended.aborted) {
    try {
      await round();
    } catch (error) {
      if (ended.aborted || isFenced(error)) return;
      if (!isTransient(error)) fatal('watching windows', error);
      events.databaseAway(error, TICK_MS);
    }
    await delay(TICK_MS, undefined, { signal: ended }).catch(() => undefined);
  }
}
