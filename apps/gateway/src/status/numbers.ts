import type { QueueDepth } from '@weir/connect-rabbitmq';
import type { MetricsPage } from '@weir/observe';
import type { Probe } from './probe.ts';
import type { Snapshot } from './snapshot.ts';

/** What edges say. */
export interface EdgeNumbers {
  readonly accepted: number | null;
  readonly acknowledged: number | null;
  readonly edgeBuried: number | null;
  readonly dropped: number | null;
  readonly connections: number | null;
  readonly spoolUsed: number | null;
  readonly spoolLimit: number | null;
  /** 0 free, 1 throttled, 2 blocked. */
  readonly spoolState: number | null;
  /** 2 while the forwarder cannot deliver. */
  readonly kafkaHeld: number | null;
  readonly rabbitmqHeld: number | null;
  /** Spool records that the destination has not taken. */
  readonly behindKafka: number | null;
  readonly behindRabbitmq: number | null;
  readonly toKafka: number | null;
  readonly toRabbitmq: number | null;
}

/**
 * Every number of a snapshot under one name; null where it is not known. Counters count from the start of their
 * app; `rates` turns two of these into what happens per second. Metric names of the apps are spelled here alone.
 */
export interface Numbers extends EdgeNumbers {
  readonly kafkaWritten: number | null;
  readonly kafkaDeadLetters: number | null;
  readonly lag: number | null;
  readonly archiveLag: number | null;
  readonly folded: number | null;
  readonly duplicates: number | null;
  readonly late: number | null;
  readonly windows: number | null;
  readonly objects: number | null;
  readonly objectBytes: number | null;
  /** Envelopes that the archiver took. */
  readonly archived: number | null;
  /** Envelopes that it holds for objects that are not finished. */
  readonly archiveHeld: number | null;
  /** Age of the oldest of them in seconds. */
  readonly archiveOldest: number | null;
  readonly evaluated: number | null;
  readonly firing: number | null;
  readonly queued: number | null;
  readonly queueDeadLetters: number | null;
  readonly delivered: number | null;
  /** Dead letters in the index. */
  readonly indexed: number | null;
  /** Those that nobody has dealt with. */
  readonly openLetters: number | null;
  /** Time since the oldest of them failed first, seconds. */
  readonly oldestLetter: number | null;
  readonly replays: number | null;
}
export type NumberName = keyof Numbers;

const LEDGER = 'weir_ledger_readings_total';

const ledger = (from: MetricsPage | null, labels: Record<string, string>): number | null =>
  from?.sum(LEDGER, labels) ?? null;

function edgeNumbers(edge: MetricsPage | null): EdgeNumbers {
  return {
    accepted: ledger(edge, { hop: 'edge' }),
    acknowledged: ledger(edge, { hop: 'edge', outcome: 'stored' }),
    edgeBuried: ledger(edge, { hop: 'edge', outcome: 'dead_lettered' }),
    dropped: ledger(edge, { hop: 'edge', outcome: 'dropped' }),
    connections: edge?.sum('weir_edge_connections') ?? null,
    spoolUsed: edge?.sum('weir_buffer_used_bytes', { hop: 'spool' }) ?? null,
    spoolLimit: edge?.sum('weir_buffer_limit_bytes', { hop: 'spool' }) ?? null,
    spoolState: edge?.sum('weir_backpressure_state', { hop: 'device-gate' }) ?? null,
    kafkaHeld: edge?.sum('weir_backpressure_state', { hop: 'forward-kafka' }) ?? null,
    rabbitmqHeld: edge?.sum('weir_backpressure_state', { hop: 'forward-rabbitmq' }) ?? null,
    behindKafka: edge?.sum('weir_spool_behind_records', { destination: 'kafka' }) ?? null,
    behindRabbitmq: edge?.sum('weir_spool_behind_records', { destination: 'rabbitmq' }) ?? null,
    toKafka: ledger(edge, { hop: 'forward-kafka', outcome: 'stored' }),
    toRabbitmq: ledger(edge, { hop: 'forward-rabbitmq', outcome: 'stored' }),
  };
}

/** Of all edges that answer: sums, and the worst of the states. */
function together(edges: readonly EdgeNumbers[]): EdgeNumbers {
  const known = (name: keyof EdgeNumbers): number[] => edges.flatMap((edge) => edge[name] ?? []);
  const all = Object.keys(edgeNumbers(null)) as (keyof EdgeNumbers)[];
  return Object.fromEntries(
    all.map((name) => {
      const values = known(name);
      if (values.length === 0) return [name, null];
      return [name, STATES.has(name) ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0)];
    }),
  ) as unknown as EdgeNumbers;
}
const STATES: ReadonlySet<keyof EdgeNumbers> = new Set(['spoolState', 'kafkaHeld', 'rabbitmqHeld']);

/** All numbers of a snapshot, and those of each edge in the order of the snapshot. */
export function numbersOf(snapshot: Snapshot): {
  readonly numbers: Numbers;
  readonly edges: readonly EdgeNumbers[];
} {
  const edges = snapshot.edges.map(({ said }) => edgeNumbers(page(said)));
  return { numbers: { ...together(edges), ...otherNumbers(snapshot) }, edges };
}

function otherNumbers(snapshot: Snapshot): Omit<Numbers, keyof EdgeNumbers> {
  const aggregator = page(snapshot.aggregator);
  const archiver = page(snapshot.archiver);
  const alerter = page(snapshot.alerter);
  const letters = page(snapshot.deadLetters);
  const kafka = snapshot.kafka.ok ? snapshot.kafka.value : null;
  const queues = snapshot.rabbitmq.ok ? snapshot.rabbitmq.value : null;
  return {
    kafkaWritten: kafka?.written ?? null,
    kafkaDeadLetters: kafka?.deadLetters ?? null,
    lag: kafka?.aggregator.lag ?? null,
    archiveLag: kafka?.archiver.lag ?? null,
    folded: ledger(aggregator, { hop: 'aggregator', outcome: 'stored' }),
    duplicates: ledger(aggregator, { hop: 'aggregator', outcome: 'duplicate' }),
    late: ledger(aggregator, { hop: 'aggregator', outcome: 'dead_lettered' }),
    windows: aggregator?.sum('weir_windows_written_total') ?? null,
    objects: archiver?.sum('weir_archive_objects_total') ?? null,
    objectBytes: archiver?.sum('weir_archive_bytes_total', { form: 'stored' }) ?? null,
    // Objects are put in bursts; what was taken grows as steadily as what comes in.
    archived: sumKnown(
      ledger(archiver, { hop: 'archiver', outcome: 'stored' }),
      archiver?.sum('weir_ledger_in_flight', { hop: 'archiver' }) ?? null,
    ),
    archiveHeld: archiver?.sum('weir_ledger_in_flight', { hop: 'archiver' }) ?? null,
    archiveOldest: archiver?.sum('weir_archive_oldest_unarchived_seconds') ?? null,
    evaluated: ledger(alerter, { hop: 'alerter', outcome: 'stored' }),
    firing: snapshot.timescale.ok ? snapshot.timescale.value.firingAlerts : null,
    queued: queues === null ? null : total(queues, (queue) => !isDeadLetterQueue(queue)),
    queueDeadLetters: queues === null ? null : total(queues, isDeadLetterQueue),
    delivered: snapshot.live.delivered,
    indexed: letters?.sum('weir_dlq_indexed_total') ?? null,
    openLetters: letters?.sum('weir_dlq_depth') ?? null,
    oldestLetter: letters === null ? null : oldest(letters),
    replays: letters?.sum('weir_dlq_replays_active') ?? null,
  };
}

function sumKnown(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function page(probe: Probe<{ readonly metrics: MetricsPage }>): MetricsPage | null {
  return probe.ok ? probe.value.metrics : null;
}

function oldest(letters: MetricsPage): number | null {
  const ages = letters.samples('weir_dlq_oldest_age_seconds').map(({ value }) => value);
  return ages.length === 0 ? null : Math.max(...ages);
}

function isDeadLetterQueue({ name }: QueueDepth): boolean {
  return name.endsWith('.dlq') || name.endsWith('.parked');
}

function total(queues: readonly QueueDepth[], wanted: (queue: QueueDepth) => boolean): number {
  let sum = 0;
  for (const queue of queues) if (wanted(queue)) sum += queue.ready + queue.unacked;
  return sum;
}

interface Counted extends ReturnType<typeof numbersOf> {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
}

/**
 * How much `name` grew per second from `before` to `now`; null when one of them is unknown, or when the counter went
 * back because its app was started anew. Of edges it is the sum over those whose growth is known.
 */
export function rateOf(name: NumberName, now: Counted, before: Counted | null): number | null {
  if (before === null || now.at <= before.at) return null;
  const growth = (a: number | null | undefined, b: number | null | undefined): number | null =>
    a == null || b == null || b < a ? null : ((b - a) * 1_000) / (now.at - before.at);
  if (!(name in (now.edges[0] ?? {}))) return growth(before.numbers[name], now.numbers[name]);
  const ofEdge = name as keyof EdgeNumbers;
  const known = now.edges.flatMap((edge, i) => growth(before.edges[i]?.[ofEdge], edge[ofEdge]) ?? []);
  return known.length === 0 ? null : known.reduce((sum, rate) => sum + rate, 0);
}
