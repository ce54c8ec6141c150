import { consumerLog } from '@weir/connect-kafka';
import { STORE_CALLS, STORE_IDLE_MS } from '@weir/connect-minio';
import { errorMessage } from '@weir/flow';
import {
  type HopTime,
  type Logger,
  ledgerCounter,
  type Metrics,
  observeCall,
  observeHop,
  rateLimited,
} from '@weir/observe';
import type { Budget } from './budget.ts';
import type { Totals } from './steps/splice-lines.ts';

export interface Stored {
  readonly key: string;
  readonly partition: number;
  readonly totals: Totals;
  readonly storedBytes: number;
}

export type ArchiverEvents = ReturnType<typeof archiverEvents>;

export interface ArchiverGauges {
  readonly budget: Budget;
  readonly time: HopTime;
  readonly objectAgeMs: number;
  /** Age in seconds of the oldest record that is not archived. */
  readonly oldest: () => number;
}

/** Every event owns its log line and its metrics. */
export function archiverEvents(log: Logger, metrics: Metrics, gauges: ArchiverGauges) {
  const { budget, time, objectAgeMs, oldest } = gauges;
  const limit = rateLimited();
  const objects = metrics.counter('weir_archive_objects_total', 'Objects stored in the raw archive');
  const bytes = metrics.counter(
    'weir_archive_bytes_total',
    'Bytes archived, before (raw) and after (stored) zstd',
    ['form'],
  );
  const wrapped = metrics.counter(
    'weir_archive_wrapped_records_total',
    'Records archived as base64: no lines',
  );
  const retries = metrics.counter(
    'weir_archive_retries_total',
    'Attempts on the object store or Kafka that failed',
    ['step'],
  );
  const ledger = ledgerCounter(metrics);
  const inFlight = metrics.gauge('weir_ledger_in_flight', 'Envelopes taken and not yet archived', ['hop']);
  const endToEnd = metrics.histogram(
    'weir_end_to_end_seconds',
    'Age of the oldest line of an object when stored',
    ['stage'],
  );
  const hop = 'archiver';
  inFlight.set({ hop }, 0);
  ledger.inc({ hop, outcome: 'stored', reason: '' }, 0);
  metrics.gauge(
    'weir_archive_oldest_unarchived_seconds',
    'Time since the oldest open record was taken',
    [],
    (gauge) => {
      gauge.set(oldest());
    },
  );
  /** The last answer of the object store was an error. */
  let isFailing = false;
  observeHop(
    metrics,
    {
      ...{ hop, policy: 'block' },
      bytes: { used: () => budget.used, limit: budget.limit },
      state: () => (budget.blocked ? 2 : budget.used * 2 > budget.limit ? 1 : 0),
      delay: () => Math.max(0, oldest() - objectAgeMs / 1_000),
    },
    time,
  );
  observeCall(metrics, {
    ...{ to: 'minio', deadlineMs: STORE_IDLE_MS, parallel: STORE_CALLS },
    state: () => (isFailing ? 'failing' : 'ok'),
  });

  return {
    /** What only a person can bring in line. */
    bucketDiffers(differences: readonly string[]): void {
      for (const difference of differences) log.error(difference);
    },
    unproven(levels: readonly string[]): void {
      if (levels.length === 0) return;
      log.warn(
        { levels },
        `windows of ${levels.join(', ')} are kept longer than the archive (retention.archive): older ones cannot be audited or rebuilt`,
      );
    },
    linesTaken(lines: number): void {
      inFlight.inc({ hop }, lines);
    },
    /** Given up here, to be read again by the next owner. */
    linesReturned(lines: number): void {
      inFlight.dec({ hop }, lines);
    },
    recordWrapped(partition: number, offset: bigint): void {
      wrapped.inc();
      limit('wrapped', (suppressed) =>
        log.warn(
          { partition, offset: String(offset), suppressed },
          'a record holds no envelope lines: archived as base64',
        ),
      );
    },
    objectStored({ key, totals, storedBytes }: Stored): void {
      isFailing = false;
      objects.inc();
      bytes.inc({ form: 'raw' }, totals.bytes);
      bytes.inc({ form: 'stored' }, storedBytes);
      ledger.inc({ hop, outcome: 'stored', reason: '' }, totals.lines);
      inFlight.dec({ hop }, totals.lines);
      if (totals.minAt !== null) {
        endToEnd.observe({ stage: 'archived' }, Math.max(0, Date.now() - totals.minAt) / 1000);
      }
      log.debug({ key, lines: totals.lines, storedBytes }, 'object stored');
    },
    stepRetried(
      step: 'look-up' | 'check-owner' | 'put' | 'commit' | 'manifest',
      error: unknown,
      attempt: number,
    ): void {
      retries.inc({ step });
      if (step === 'put' || step === 'look-up') isFailing = true;
      limit(step, (suppressed) =>
        log.warn({ step, attempt, suppressed }, `${errorMessage(error)}; trying again`),
      );
    },
    partitionResumed(partition: number, committed: bigint, from: bigint): void {
      log.info(
        { partition, committed: String(committed), from: String(from) },
        'objects were stored but not committed: going on after them',
      );
    },
    partitionsGone(partitions: readonly number[], why: 'rebalance' | 'stop'): void {
      log.info({ partitions, why }, 'partitions given back');
    },
    flushLate(lines: number): void {
      log.warn(
        { lines },
        'the object store did not take the last objects in time; the next start reads them again',
      );
    },
    consumer: consumerLog(log, {
      assigned: 'partitions assigned',
      missing: (records) =>
        `${records} records left the log before they were archived (retention): reading on from the earliest`,
      shorter: 'the log is shorter than the committed offset (a topic made anew): reading from its start',
    }),
  };
}
