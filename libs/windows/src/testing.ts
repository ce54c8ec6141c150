import assert from 'node:assert/strict';
import { encodeEnvelope, envelopePrefix, joinLines } from '@weir/reading';
import { LEVELS } from '@weir/topology';
import fc from 'fast-check';
import { alignDown, LEVEL_MS, PANE_MS } from './levels.ts';
import { PartitionState } from './partition.ts';
import { plainKey } from './recompute.ts';
import { Sketch } from './sketch.ts';
import { type BuriedLine, noCounts, type Position, type SeriesInfo, type WindowOptions } from './types.ts';
import type { Figures } from './window.ts';

export const OPTIONS: WindowOptions = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 60_000,
  idleTimeoutMs: 10_000,
  dedupHorizonMs: 120_000,
  dedupCount: 256,
};
export const T0 = 1_700_000_000_000;

/** A database of rows and a log, in memory: what the aggregator does, without the servers. */
export class Harness {
  rows = new Map<string, Figures & { site: string; device: string; metric: string; level: number }>();
  position: Position = { nextOffset: 0n, replayOffset: 0n, sources: {} };
  ids = new Map<string, number>();
  state: PartitionState;
  readonly counts = noCounts();
  /** By level: rows that start before it are gone, but for those that `expire` kept. */
  expired: readonly number[] = LEVELS.map(() => Number.NEGATIVE_INFINITY);
  /** Identities of the late readings that were replayed. */
  readonly forced = new Set<string>();
  /** Dead letters; those of a commit that was lost occur again. */
  readonly letters: BuriedLine[] = [];
  readonly log: readonly (readonly string[])[];
  private readonly options: WindowOptions;
  constructor(log: readonly (readonly string[])[], options = OPTIONS) {
    this.log = log;
    this.options = options;
    this.state = new PartitionState(options, this.position);
  }

  apply(offset: number, now = 0): void {
    this.state.apply(BigInt(offset), joinLines(this.log[offset] as string[]), now);
  }

  commit(now = 0): void {
    for (const series of this.state.freshSeries()) series.id = this.idOf(series);
    this.state.setExpired(this.expired);
    for (const { identity } of this.state.settleForced(this.forced)) this.forced.add(identity);
    for (const { series, level, from, to } of this.state.neededRows(now, true)) {
      const id = this.state.idOf(series);
      for (const row of this.rows.values()) {
        if (row.level === level && this.idOf(row) === id && row.start >= from && row.start < to)
          this.state.supply(series, level, copy(row));
      }
    }
    const seen = new Set<string>();
    this.state.collect({
      row: (level, series, window, previous, stored) => {
        const key = keyOf(series, level, window.start);
        assert.ok(!seen.has(key), 'a row occurs once in a transaction');
        seen.add(key);
        const old = this.rows.get(key);
        assert.ok(stored || old === undefined, 'an added row must not exist yet');
        if (level > 0) assert.equal(previous && bits(previous), old ? bits(copy(old)) : null, 'previous');
        this.rows.set(key, { ...copy(window), ...names(series), level });
      },
    });
    this.position = this.state.position();
    const counts = this.state.takeCounts();
    for (const key of Object.keys(counts) as (keyof typeof counts)[]) this.counts[key] += counts[key];
    this.letters.push(...this.state.takeBuried());
  }

  /** Drops rows as retention does: not those of which windows are made that may still change without a replay. */
  expire(before: readonly number[]): void {
    this.expired = before;
    const newest = new Map<string, number>();
    for (const { device, level, start } of this.rows.values())
      if (level === 0) newest.set(device, Math.max(start, newest.get(device) ?? start));
    const { outOfOrdernessMs, allowedLatenessMs } = this.options;
    for (const [key, { device, level, start }] of this.rows) {
      const above = LEVEL_MS[Math.min(level + 1, LEVELS.length - 1)] as number;
      const last = (newest.get(device) as number) - outOfOrdernessMs - allowedLatenessMs - PANE_MS;
      if (start < (before[level] as number) && start < alignDown(last, above)) this.rows.delete(key);
    }
  }

  /** Forgets everything that is not committed, and starts again from rows and log. */
  restart(now = 0): void {
    this.state = new PartitionState(this.options, this.position);
    const bySeries = new Map<string, (Figures & { level: number })[]>();
    for (const row of this.rows.values()) {
      const key = `${row.site}/${row.device}/${row.metric}`;
      bySeries.set(key, [...(bySeries.get(key) ?? []), row]);
    }
    this.state.restore(
      [...bySeries].map(([key, rows]) => {
        const [site = '', device = '', metric = ''] = key.split('/');
        const newest = Math.max(...rows.filter((row) => row.level === 0).map((row) => row.start));
        const sorted = rows.sort((a, b) => a.level - b.level || a.start - b.start);
        return {
          id: this.ids.get(key) as number,
          site,
          device,
          metric,
          unit: null,
          newest,
          rows: sorted.map((row) => ({ level: row.level, figures: copy(row) })),
        };
      }),
      now,
    );
    for (let offset = Number(this.position.replayOffset); offset < Number(this.position.nextOffset); offset++)
      this.apply(offset, now);
    this.state.takeCounts();
  }

  private idOf(series: { site: string; device: string; metric: string }): number {
    const key = `${series.site}/${series.device}/${series.metric}`;
    const id = this.ids.get(key) ?? this.ids.size + 1;
    this.ids.set(key, id);
    return id;
  }
}

const names = ({ site, device, metric }: SeriesInfo) => ({ site, device, metric });
const keyOf = (series: SeriesInfo, level: number, start: number): string =>
  plainKey(series.site, series.device, series.metric, LEVELS[level]!.name, start);
const copy = (row: Figures): Figures => ({
  start: row.start,
  count: row.count,
  sum: row.sum,
  min: row.min,
  max: row.max,
  m2: row.m2,
  first: row.first,
  firstTs: row.firstTs,
  last: row.last,
  lastTs: row.lastTs,
  sketch: row.sketch === null ? null : Sketch.decode(row.sketch.encode()),
});
export const bits = (row: Figures): string =>
  JSON.stringify({ ...copy(row), sketch: row.sketch?.encode().toString('hex') });

export interface Step {
  device: number;
  ts: number;
  seq: number | null;
  value: number;
  at: number;
  dup: boolean;
  mid?: number;
  /** `value` when absent. */
  metrics?: readonly string[];
}

let counter = 0;
export function line(step: Step, n: number): string {
  const prefix = envelopePrefix({ edge: 'e/s', site: 'here', device: `d${step.device}`, via: 'mqtt' });
  const { metrics, value } = step;
  const payload = JSON.stringify({
    ts: step.ts,
    ...(step.seq === null ? {} : { seq: step.seq }),
    ...(metrics === undefined
      ? { value }
      : { values: Object.fromEntries(metrics.map((metric, i) => [metric, value + i])) }),
  });
  const head = { n, at: step.at, qos: 1 as const, mid: step.mid ?? 1 + (n % 60_000), dup: step.dup };
  return encodeEnvelope(prefix, head, Buffer.from(payload)).toString('utf8').trimEnd();
}

/**
 * Logs of a few devices with up to two metrics: mostly forward, some back (out of order, late, too late), repeats and
 * resends.
 * @param arrivalGap milliseconds between two arrivals
 */
const logsOf = (arrivalGap: fc.Arbitrary<number>) =>
  fc
    .array(
      fc.record({
        device: fc.integer({ min: 0, max: 2 }),
        forward: fc.oneof(
          { weight: 8, arbitrary: fc.integer({ min: 0, max: 1_500 }) },
          { weight: 2, arbitrary: fc.integer({ min: 0, max: 40_000 }) },
          { weight: 1, arbitrary: fc.integer({ min: 0, max: 900_000 }) },
        ),
        back: fc.oneof(
          { weight: 8, arbitrary: fc.constant(0) },
          { weight: 2, arbitrary: fc.integer({ min: 0, max: 5_000 }) },
          { weight: 1, arbitrary: fc.integer({ min: 0, max: 90_000 }) },
        ),
        value: fc.oneof(
          fc.double({ min: -1e6, max: 1e6, noNaN: true }),
          fc.integer({ min: -3, max: 3 }),
          fc.constant(20.5),
        ),
        kind: fc.constantFrom('new', 'new', 'new', 'new', 'new', 'no-seq', 'again', 'resent', 'flagged'),
        metrics: fc.constantFrom(undefined, undefined, undefined, ['other'], ['value', 'other']),
        gap: arrivalGap,
        pick: fc.nat(),
      }),
      { minLength: 1, maxLength: 120 },
    )
    .map((moves) => {
      const clocks = [T0, T0, T0];
      const sent: { step: Step; n: number }[] = [];
      const lines: string[] = [];
      let at = T0;
      moves.forEach((move, n) => {
        at += move.gap;
        const old =
          sent.length > 0 ? sent[sent.length - 1 - (move.pick % Math.min(sent.length, 50))] : undefined;
        if (move.kind === 'resent' && old !== undefined) {
          lines.push(line(old.step, old.n));
          return;
        }
        const clock = (clocks[move.device] as number) + move.forward;
        clocks[move.device] = clock;
        let step: Step = {
          device: move.device,
          ts: clock - move.back,
          seq: move.kind === 'no-seq' ? null : ++counter,
          value: move.value,
          at,
          dup: false,
          mid: 1 + (n % 60_000),
          ...(move.metrics === undefined ? {} : { metrics: move.metrics }),
        };
        if (move.kind === 'again' && old !== undefined) step = { ...old.step, at };
        if (move.kind === 'flagged' && old !== undefined) step = { ...old.step, at, dup: true };
        sent.push({ step, n });
        lines.push(line(step, n));
      });
      return lines;
    });

/** All arrivals within the duplicate horizon. */
export const logs = logsOf(fc.constant(20));

/** The clock of the edge jumps on, also beyond the duplicate horizon, and back. */
export const jumpyLogs = logsOf(
  fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 3_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -30_000, max: 300_000 }) },
  ),
);
