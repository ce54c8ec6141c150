import { errorMessage } from '@weir/flow';
import {
  type HopTime,
  type Logger,
  ledgerCounter,
  type Metrics,
  observeHop,
  rateLimited,
} from '@weir/observe';
import { LEVELS } from '@weir/topology';
import type { BuriedLine, Counts, DerivedCounts } from '@weir/windows';
import type { Since } from './partitions.ts';

export type Events = ReturnType<typeof aggregatorEvents>;

/** Everything worth telling about the aggregator; each event owns its log line and its metrics. */
export function aggregatorEvents(metrics: Metrics, log: Logger) {
  const ledger = ledgerCounter(metrics);
  const late = metrics.counter('weir_window_late_total', 'Readings that came after their window had closed', [
    'window',
    'disposition',
  ]);
  const written = metrics.counter('weir_windows_written_total', 'Window rows written', ['window', 'kind']);
  const endToEnd = metrics.histogram(
    'weir_end_to_end_seconds',
    'From arrival at the edge until visible here, one sample a record',
    ['stage'],
  );
  const transaction = metrics.histogram('weir_aggregator_transaction_seconds', 'Duration of a transaction');
  const fenced = metrics.counter(
    'weir_aggregator_fenced_total',
    'Partitions lost to another owner at a commit',
  );
  const derived = metrics.counter(
    'weir_derived_readings_total',
    'Readings that followed from others of their message, or why there is none',
    ['metric', 'outcome'],
  );
  const limit = rateLimited();
  /** Gathered here, because a counter with labels costs more than a derived reading. */
  const made = new Map<string, DerivedCounts>();
  const countDerived = (): void => {
    for (const [metric, counts] of made) {
      if (counts.made > 0) derived.inc({ metric, outcome: 'made' }, counts.made);
      if (counts.given > 0) derived.inc({ metric, outcome: 'given' }, counts.given);
      if (counts.notFinite > 0) {
        derived.inc({ metric, outcome: 'not_finite' }, counts.notFinite);
        limit(`derived ${metric}`, (suppressed) =>
          log.warn(
            { metric, suppressed },
            `${metric}: its expression gave no finite number, as after a division by zero; no reading`,
          ),
        );
      }
      counts.made = counts.given = counts.notFinite = 0;
    }
  };
  for (const outcome of ['stored', 'duplicate'] as const)
    ledger.inc({ hop: 'aggregator', outcome, reason: '' }, 0);

  return {
    claimed: (partition: number, facts: Record<string, unknown>) =>
      log.info({ partition, ...facts }, 'claimed a partition and rebuilt its windows'),
    released: (partitions: readonly number[], why: string) =>
      log.info({ partitions, why }, 'partitions released'),
    logTooShort: (why: string) => log.error(why),
    logStartsLater: (partition: number, wanted: bigint, start: bigint, end: bigint) =>
      log.error(
        { partition, wanted: String(wanted), start: String(start), end: String(end) },
        `partition ${partition}: the log no longer holds the next offset; its records are missing in the windows until a rebuild from the archive`,
      ),
    /** After a crash it may be told again; the ledger itself counts it once. */
    missing(partition: number, offset: bigint, readings: number): void {
      ledger.inc({ hop: 'kafka', outcome: 'lost', reason: '' }, readings);
      log.error(
        { partition, offset: String(offset), readings },
        `partition ${partition}: the edge sent ${readings} readings that are not in the log before offset ${offset}`,
      );
    },
    committed(
      counts: Counts,
      rows: readonly { added: number; changed: number }[],
      seconds: number,
      samples: readonly number[],
    ): void {
      countDerived();
      const now = Date.now();
      for (const at of samples) endToEnd.observe({ stage: 'windows' }, Math.max(0, now - at) / 1_000);
      transaction.observe(seconds);
      const count = (outcome: string, reason: string, n: number): void => {
        if (n > 0) ledger.inc({ hop: 'aggregator', outcome, reason }, n);
      };
      count('stored', '', counts.stored);
      count('duplicate', '', counts.duplicate);
      count('dead_lettered', 'late', counts.late);
      count('replayed', '', counts.replayed);
      count('replayed', 'again', counts.replayedAgain);
      count('dead_lettered', 'undecodable', counts.undecodable);
      if (counts.merged > 0) late.inc({ window: '1s', disposition: 'merged' }, counts.merged);
      if (counts.late > 0) late.inc({ window: '1s', disposition: 'dead_letter' }, counts.late);
      if (counts.replayed > 0) late.inc({ window: '1s', disposition: 'replayed' }, counts.replayed);
      rows.forEach(({ added, changed }, level) => {
        const window = LEVELS[level]?.name ?? '';
        if (added > 0) written.inc({ window, kind: 'added' }, added);
        if (changed > 0) written.inc({ window, kind: 'changed' }, changed);
      });
    },
    fenced(partitions: readonly number[]): void {
      fenced.inc(partitions.length);
      log.warn({ partitions }, 'another aggregator owns these partitions: nothing of them was written here');
    },
    buried: (lines: readonly BuriedLine[]) =>
      limit('buried', (suppressed) =>
        log.warn(
          { lines: lines.length, reason: lines[0]?.reason, suppressed },
          `dead letters: ${lines[0]?.message ?? ''}`,
        ),
      ),
    rowsExisted: () =>
      log.warn('a window that should be new has a row already: the transaction is repeated as a merge'),
    /** What the derived metrics of all partitions are counted in. */
    derived(metric: string): DerivedCounts {
      const counts = made.get(metric) ?? { made: 0, notFinite: 0, given: 0 };
      made.set(metric, counts);
      return counts;
    },
    rollupsMissing: (windows: number) =>
      log.error(
        { windows },
        'roll-ups that device rows were part of are gone: these windows of them are missing until a rebuild',
      ),
    away: (doing: string, error: unknown, waitMs: number) =>
      limit(doing, (suppressed) =>
        log.warn({ suppressed, waitMs: Math.round(waitMs) }, `${errorMessage(error)}; trying again`),
      ),
    /** The next commit makes it good; only lag tools see the difference. */
    groupCommitFailed: (error: unknown) =>
      log.debug({ err: error }, `the Kafka group did not take the offsets: ${errorMessage(error)}`),
    gaveUp: (error: unknown) =>
      log.warn(
        { err: error },
        'stopping without a last commit: the readings since the previous one are read again at the next start',
      ),
  };
}

/** Gauges that are asked for, not counted. */
export function aggregatorGauges(
  metrics: Metrics,
  state: {
    used: () => number;
    limit: number;
    waiting: () => boolean;
    oldest: () => Since | null;
    commitIntervalMs: number;
    time: HopTime;
    watermark: () => number;
    owned: () => number;
  },
): void {
  observeHop(
    metrics,
    {
      hop: 'aggregator',
      policy: 'block',
      // readings folded but not committed
      items: state,
      state: () => (state.waiting() ? 2 : 0),
      delay: () => {
        const since = state.oldest();
        if (since === null) return 0;
        const waited = Math.min(Date.now() - since.arrived, performance.now() - since.here);
        return Math.max(0, (waited - state.commitIntervalMs) / 1_000);
      },
    },
    state.time,
  );
  metrics.gauge(
    'weir_window_watermark_timestamp_seconds',
    'Watermark of the device that is furthest ahead',
    [],
    (one) => {
      const watermark = state.watermark();
      if (Number.isFinite(watermark)) one.set(watermark / 1_000);
    },
  );
  metrics.gauge('weir_aggregator_partitions', 'Partitions owned', [], (one) => one.set(state.owned()));
}
