import { setImmediate } from 'node:timers/promises';
import { type Anomaly, anomaly, type anomalyQuery } from '@weir/api';
import type { PieceRow } from '@weir/connect-timescale';
import { LEVELS } from '@weir/topology';
import {
  ANOMALY_MEMORY_MS,
  type AnomalyAlarm,
  AnomalyDetector,
  type AnomalyScore,
  alignDown,
  LEVEL_MS,
  levelIndex,
  meanOf,
  scoreWindow,
} from '@weir/windows';
import type { z } from 'zod';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { onlySite } from './find-device.ts';
import { MOST_PANES } from './read-view.ts';
import { rangeOf } from './read-windows.ts';
import { time, timeOrNull } from './show-figures.ts';

const MOST_POINTS = 10_000;
/** Windows that are scored without a pause for other questions: some 20 ms. */
const AT_ONCE = 1_000;

/** Scores the closed windows of one metric of a device in [from, to), from those before them. */
export function scoreAnomalies(store: Store, now: () => number = Date.now) {
  return function scoreAnomalies(
    name: string,
    query: z.output<typeof anomalyQuery>,
  ): Question<typeof anomaly> {
    const { from, to } = rangeOf(query, now());
    const { site, metric } = query;
    const level = levelIndex(query.level);
    const lengthMs = LEVEL_MS[level] as number;
    const first = alignDown(from + lengthMs - 1, lengthMs);
    if ((to - first) / lengthMs > MOST_POINTS) {
      throw new ApiProblem(
        'bad-request',
        `level: the range has more than ${MOST_POINTS} windows of ${query.level}; take a coarser one, or ask for less time.`,
      );
    }
    return {
      key: `anomaly:${JSON.stringify([name, site, metric, query.level, query.from, query.to])}`,
      schema: anomaly,
      load: async (): Promise<Anomaly> => {
        const state = onlySite(await store.seriesState(name, site, metric), name, site);
        // A window that is not closed has a mean of some of its readings.
        const end = Math.min(to, alignDown(state.watermark, lengthMs));
        const learn = Math.min(ANOMALY_MEMORY_MS, MOST_PANES * lengthMs - (to - first));
        const piece = { level, from: alignDown(first - learn, lengthMs), to: end, merged: false };
        const rows =
          state.seriesId === null || end <= first ? [] : await store.pieces(state.seriesId, [piece]);
        const { scores, alarms } = await score(rows);
        const learntFrom = rows[0]?.figures.start;
        return {
          ...{ device: name, site: state.site, metric, unit: state.unit },
          level: query.level,
          seconds: (LEVELS[level] as (typeof LEVELS)[number]).seconds,
          from: time(from),
          to: time(to),
          watermark: timeOrNull(state.watermark),
          learntFrom: learntFrom === undefined ? null : time(learntFrom),
          alarms: alarms
            .filter((alarm) => alarm.to >= first)
            .map(({ isOpen, ...alarm }) => ({
              ...alarm,
              from: time(alarm.from),
              to: time(alarm.to),
              isOpen,
            })),
          points: pointsOf(first, end, lengthMs, rows, scores),
        };
      },
    };
  };
}

async function score(rows: readonly PieceRow[]): Promise<{
  readonly scores: ReadonlyMap<number, AnomalyScore>;
  readonly alarms: readonly (AnomalyAlarm & { readonly isOpen: boolean })[];
}> {
  const detector = new AnomalyDetector();
  const scores = new Map<number, AnomalyScore>();
  const alarms = new Map<number, AnomalyAlarm>();
  let done = 0;
  for (const { figures } of rows) {
    scores.set(figures.start, scoreWindow(detector, figures));
    if (detector.alarm !== null) alarms.set(detector.alarm.from, detector.alarm);
    if (++done % AT_ONCE === 0) await setImmediate();
  }
  const open = detector.alarm?.from;
  return { scores, alarms: [...alarms.values()].map((alarm) => ({ ...alarm, isOpen: alarm.from === open })) };
}

function pointsOf(
  first: number,
  end: number,
  lengthMs: number,
  rows: readonly PieceRow[],
  scores: ReadonlyMap<number, AnomalyScore>,
): Anomaly['points'] {
  const means = new Map(rows.map(({ figures }) => [figures.start, meanOf(figures)]));
  const points: Anomaly['points'] = [];
  for (let start = first; start < end; start += lengthMs) {
    const {
      score = null,
      cause = null,
      expected = null,
      tolerance = null,
      alarm = false,
    } = scores.get(start) ?? {};
    const around = (sign: number): number | null =>
      expected === null || tolerance === null ? null : expected + sign * tolerance;
    points.push({
      start: time(start),
      value: means.get(start) ?? null,
      ...{ score, cause, expected, alarm },
      low: around(-1),
      high: around(1),
    });
  }
  return points;
}
