import { type Summary, summary, type summaryQuery } from '@weir/api';
import { type DeviceState, type LevelState, showAlert } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import { LEVEL_MS, levelIndex } from '@weir/windows';
import type { z } from 'zod';
import { CATCHING_UP_MS, type Newest, type NewestValue, newerOf } from '../live/newest.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import type { AskLiveness } from './ask-liveness.ts';
import { onlySite } from './find-device.ts';
import { freshFor, type Level, showWindow } from './read-windows.ts';
import { finality, showFigures, time, timeOrNull } from './show-figures.ts';

/**
 * All that is known of a device, with one question to the database.
 * @param newest what was heard while the windows are behind
 * @param ask for what the alerter knows of its life
 * @param silentAfterMs a device of which nothing arrived for so long is silent
 */
export function readSummary(store: Store, newest: Newest, silentAfterMs: number, ask: AskLiveness) {
  return function readSummary(
    name: string,
    { site, levels }: z.output<typeof summaryQuery>,
  ): Question<typeof summary> {
    return {
      key: `summary:${JSON.stringify([name, site, levels])}`,
      freshMs: newest.active
        ? CATCHING_UP_MS
        : freshFor(Math.min(...levels.map((level) => LEVEL_MS[levelIndex(level)] as number)) / 1_000),
      schema: summary,
      load: async (): Promise<Summary> => {
        const state = onlySite(await store.summaries({ device: name, site, levels }), name, site);
        const { facts, metrics, alerts } = state;
        const detector = (await ask(state.site, name).catch(() => null)) ?? null;
        const clock = facts?.clock ?? null;
        const heard = newest.of(state.site, name);
        return {
          device: name,
          site: state.site,
          at: time(state.now),
          watermark: timeOrNull(state.watermark),
          catchingUp: newest.active,
          liveness: { ...livenessOf(state, silentAfterMs, heard), detector },
          clock: clock === null ? null : { ...clock, at: time(clock.at) },
          sequence: facts?.sequence ?? null,
          readings: facts === null ? null : { duplicates: facts.duplicates, late: facts.late },
          metrics: metrics.map(({ metric, unit, value, ts, levels: windows }) => ({
            ...newerOf({ metric, unit, value, at: ts === null ? null : time(ts) }, heard),
            windows: windows.map((one) => showLevel(one, state)),
          })),
          alerts: alerts.map(showAlert),
        };
      },
    };
  };
}

function livenessOf(
  { facts, now }: DeviceState,
  silentAfterMs: number,
  heard: ReadonlyMap<string, NewestValue>,
): Omit<Summary['liveness'], 'detector'> {
  if (facts === null) return { state: 'unknown', lastSeen: null, silentForSeconds: null };
  const lastSeen = Math.max(facts.lastSeen, ...[...heard.values()].map(({ at }) => at ?? 0));
  const silentMs = now - lastSeen;
  const silent = silentMs >= silentAfterMs;
  return {
    state: silent ? 'silent' : 'online',
    lastSeen: time(lastSeen),
    silentForSeconds: silent ? silentMs / 1_000 : null,
  };
}

function showLevel(
  { level: name, current, closed }: LevelState,
  state: DeviceState,
): Summary['metrics'][number]['windows'][number] {
  const level = LEVELS.find((one) => one.name === name) as Level;
  const lengthMs = level.seconds * 1_000;
  let now = null;
  if (current !== null) {
    const end = current.start + lengthMs;
    const length = { start: time(current.start), end: time(end) };
    now = { ...length, ...showFigures(current, lengthMs), ...finality(end, state) };
  }
  return {
    level: name,
    current: now,
    lastClosed:
      closed === null ? null : showWindow({ figures: closed, revision: closed.revision }, level, state),
  };
}
