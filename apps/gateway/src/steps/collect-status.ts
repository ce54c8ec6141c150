import type { Status } from '@weir/api';
import type { PartitionLag } from '@weir/connect-kafka';
import { drawStatus, type Reading } from '../status/draw.ts';
import { numbersOf } from '../status/numbers.ts';
import { type AppView, type Probe, probe } from '../status/probe.ts';
import type { DatabaseView, GroupView, KafkaView, Snapshot } from '../status/snapshot.ts';

/** How each part is asked; every function may reject. */
export interface Sources {
  readonly edges: readonly { readonly url: string; ask(signal: AbortSignal): Promise<AppView> }[];
  aggregator(signal: AbortSignal): Promise<AppView>;
  archiver(signal: AbortSignal): Promise<AppView>;
  alerter(signal: AbortSignal): Promise<AppView>;
  deadLetters(signal: AbortSignal): Promise<AppView>;
  kafka(): Promise<KafkaView>;
  rabbitmq(): Promise<Extract<Snapshot['rabbitmq'], { ok: true }>['value']>;
  timescale(): Promise<DatabaseView>;
  minio(signal: AbortSignal): Promise<void>;
  cache(): Snapshot['cache'];
  live(): Snapshot['live'];
}

export interface StatusOptions {
  readonly sources: Sources;
  readonly doors: Status['doors'];
  readonly onFailure: (part: string, error: unknown) => void;
  /** Time between two collections while somebody asks, in milliseconds. */
  readonly everyMs?: number;
  /** Longest time one part may take, in milliseconds. */
  readonly deadlineMs?: number;
}

export interface StatusCollector {
  /** The latest picture; the first call waits for one collection. Never rejects because a part is away. */
  current(): Promise<Status>;
  stop(): void;
}

/** Nobody has asked for this long: the collection pauses, so that an unwatched pipeline is not scraped. */
const UNWATCHED_MS = 30_000;

/**
 * Asks every part of the pipeline, each with a deadline, and keeps the last two answers, so that counters become
 * rates. A question more frequent than the collection gets the last picture.
 */
export function collectStatus({
  sources,
  doors,
  onFailure,
  everyMs = 2_000,
  deadlineMs = 3_000,
}: StatusOptions): StatusCollector {
  let latest: { reading: Reading; status: Status } | null = null;
  let running: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let stopped = false;

  const ask = <T>(part: string, work: (signal: AbortSignal) => Promise<T>): Promise<Probe<T>> =>
    probe(deadlineMs, work, (error) => onFailure(part, error));

  const collect = async (): Promise<void> => {
    const [edges, aggregator, archiver, alerter, deadLetters, kafka, rabbitmq, timescale, minio] =
      await Promise.all([
        Promise.all(
          sources.edges.map(async ({ url, ask: work }) => ({ url, said: await ask('edge', work) })),
        ),
        ask('aggregator', sources.aggregator),
        ask('archiver', sources.archiver),
        ask('alerter', sources.alerter),
        ask('dead-letters', sources.deadLetters),
        ask('kafka', sources.kafka),
        ask('rabbitmq', sources.rabbitmq),
        ask('timescale', sources.timescale),
        ask('minio', sources.minio),
      ]);
    const at = performance.now();
    const snapshot: Snapshot = {
      at: Date.now(),
      edges,
      aggregator,
      archiver,
      alerter,
      deadLetters,
      kafka,
      rabbitmq,
      timescale,
      minio,
      cache: sources.cache(),
      live: sources.live(),
    };
    const reading: Reading = { at, snapshot, ...numbersOf(snapshot) };
    // After a pause the time before is long ago, and its average would be told as what happens now.
    const before = latest !== null && at - latest.reading.at <= 5 * everyMs ? latest.reading : null;
    latest = { reading, status: { ...drawStatus(reading, before), doors } };
  };
  const once = (): Promise<void> => {
    running ??= collect().finally(() => {
      running = null;
    });
    return running;
  };
  const schedule = (): void => {
    if (timer !== undefined || stopped) return;
    timer = setTimeout(async () => {
      await once();
      timer = undefined;
      if (performance.now() - askedAt < UNWATCHED_MS) schedule();
    }, everyMs);
  };

  return {
    current: async () => {
      askedAt = performance.now();
      if (latest === null || askedAt - latest.reading.at > 3 * everyMs) await once();
      schedule();
      return (latest as { reading: Reading; status: Status } | null)?.status as Status;
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Lag of a group over its partitions; unknown where it never committed. */
export function groupView(partitions: readonly PartitionLag[]): GroupView {
  let lag: number | null = null;
  let worst: GroupView['worst'] = null;
  for (const one of partitions) {
    if (one.lag === null) continue;
    lag = (lag ?? 0) + Number(one.lag);
    if (worst === null || Number(one.lag) > worst.lag)
      worst = { partition: one.partition, lag: Number(one.lag) };
  }
  return { lag, worst };
}
