import type { LogReader } from '@weir/connect-kafka';
import type { ArchiveReader } from '@weir/connect-minio';
import type { CommitPart, Database } from '@weir/connect-timescale';
import { PartitionWriter } from '@weir/connect-timescale';
import { type Counts, noCounts, type WindowOptions } from '@weir/windows';
import { type ArchiveIndex, indexArchive } from './archive-index.ts';
import { PartitionFold } from './fold.ts';
import { findTwoLogs } from './overlap.ts';
import { type LogRange, planStretches } from './plan.ts';
import { findingOf, readTape, type Sources, type TapeFinding, type TapeRecord } from './tape.ts';

/** What a replay reads, and by which rules it folds. */
export interface ReplayOptions {
  readonly archive: ArchiveReader;
  readonly log: LogReader;
  readonly topic: string;
  readonly partitions: number;
  readonly windows: WindowOptions;
  /** How far an event time may lie ahead of the arrival, milliseconds; the edge refuses what is beyond. */
  readonly maxFutureMs: number;
  /** Only windows that start here or later are wanted, epoch milliseconds; −Infinity: all. */
  readonly from: number;
  /** Only these partitions; null: all. */
  readonly only: readonly number[] | null;
  /** Aborts it between two batches. */
  readonly signal: AbortSignal;
  /** Told of the progress. */
  readonly told: (progress: ReplayProgress) => void;
}

export type ReplayProgress =
  | { readonly step: 'listing'; readonly objects: number }
  | {
      readonly step: 'folding';
      /** Records. */
      readonly done: number;
      readonly total: number;
      readonly readings: number;
    }
  | { readonly step: 'comparing' | 'copying'; readonly rows: number };

export type Finding = TapeFinding & { readonly partition: number };

/** What was read of one partition. */
export interface Coverage {
  readonly partition: number;
  /** First offset that was read; the next one behind the last. */
  readonly from: bigint;
  to: bigint;
  objects: number;
  /** Records by where they were read. */
  archived: bigint;
  fromLog: bigint;
  lost: bigint;
}

const noCoverage = (partition: number, from: bigint): Coverage => ({
  ...{ partition, from, to: from, objects: 0 },
  ...{ archived: 0n, fromLog: 0n, lost: 0n },
});

/** How far the clocks of edges and object store may differ, and an archive object may be late, milliseconds. */
const CLOCK_MARGIN_MS = 10 * 60_000;

/** The whole log, from the archive and from Kafka, on its way into the tables of a scratch schema. */
export class Replay {
  readonly coverage = new Map<number, Coverage>();
  readonly findings: Finding[] = [];
  /** By partition: windows that start before may differ because records are lost, epoch milliseconds. */
  readonly provableFrom = new Map<number, number>();
  readonly index: ArchiveIndex;
  private readonly options: ReplayOptions;
  private ranges = new Map<number, LogRange>();
  private readonly folds = new Map<number, PartitionFold>();
  private done = 0;
  private total = 0;
  private readings = 0;

  private constructor(options: ReplayOptions, index: ArchiveIndex) {
    this.options = options;
    this.index = index;
  }

  static async open(options: ReplayOptions): Promise<Replay> {
    const { archive, partitions, told } = options;
    const index = await indexArchive(archive, partitions, (objects) => told({ step: 'listing', objects }));
    return new Replay(options, index);
  }

  /** First offset that the wanted windows need. */
  startOf(partition: number): bigint {
    return this.startFor(partition, this.options.from);
  }

  /** First offset that windows need which start at `from` or later. */
  private startFor(partition: number, from: number): bigint {
    const { maxFutureMs } = this.options;
    if (from === Number.NEGATIVE_INFINITY) return 0n;
    // A reading of a wanted window arrived at `from` less `maxFuture` or later, and so did whatever it repeats. What
    // was stored before that holds none of either.
    const needed = from - maxFutureMs - CLOCK_MARGIN_MS;
    let start = 0n;
    for (const { first, last, storedAt } of this.index.pieces(partition)) {
      if (storedAt >= needed) return first < start ? first : start;
      start = last + 1n;
    }
    return start;
  }

  /** Of all partitions together. */
  get counts(): Counts {
    const all = noCounts();
    for (const { counts } of this.folds.values())
      for (const key of Object.keys(all) as (keyof Counts)[]) all[key] += counts[key];
    return all;
  }

  /** Fills `coverage` and `findings` as if everything up to these offsets were read. */
  async plan(targets: ReadonlyMap<number, bigint>): Promise<void> {
    const ranges = await this.options.log.ends();
    for (const [partition, to] of targets) {
      const from = this.startOf(partition);
      this.coverage.set(partition, { ...noCoverage(partition, from), to });
      const { reading, found } = this.listener(partition);
      const range = ranges.find((one) => one.partition === partition);
      for (const stretch of planStretches(this.index.pieces(partition), range, from, to)) {
        reading(stretch);
        const finding = findingOf(stretch);
        if (finding !== null) found(finding);
      }
    }
  }

  /** Makes the folds write into `database`. */
  async begin(database: Database, parts: readonly CommitPart[], partitions: Iterable<number>): Promise<void> {
    const { topic, windows, signal } = this.options;
    const replaysFrom = (partition: number): bigint => this.startOf(partition);
    const writer = new PartitionWriter({ database, topic, parts, replaysFrom });
    for (const partition of partitions) {
      if (this.folds.has(partition)) continue;
      const from = this.startOf(partition);
      this.coverage.set(partition, noCoverage(partition, from));
      const twice = await findTwoLogs(this.options.archive, this.index.pieces(partition));
      if (twice !== null) this.listener(partition).found({ kind: 'two-logs', from: twice });
      const fold = await PartitionFold.open(
        {
          ...{ database, writer, topic, partitions: this.options.partitions, windows, signal },
          sources: () => this.sources,
          listener: () => this.listener(partition),
          folded: (records, readings) => {
            this.done += records;
            this.readings += readings;
            this.options.told({
              step: 'folding',
              done: this.done,
              total: this.total,
              readings: this.readings,
            });
          },
        },
        partition,
        from,
      );
      this.folds.set(partition, fold);
    }
  }

  /**
   * Folds each partition up to its offset (exclusive); one that is further already stays where it is.
   * @param between called after each partition that moved
   */
  async foldTo(targets: ReadonlyMap<number, bigint>, between?: () => Promise<void>): Promise<void> {
    this.ranges = new Map(
      (await this.options.log.ends()).map(({ partition, start, end }) => [partition, { start, end }]),
    );
    const wanted = [...this.folds.values()].map((fold) => ({ fold, to: targets.get(fold.partition) ?? 0n }));
    this.total =
      this.done + wanted.reduce((sum, { fold, to }) => sum + Math.max(0, Number(to - fold.next)), 0);
    for (const { fold, to } of wanted) {
      if (to <= fold.next) continue;
      await fold.foldTo(to);
      (this.coverage.get(fold.partition) as Coverage).to = to;
      await between?.();
    }
  }

  /** See `PartitionFold.writeSilent`. */
  async writeSilent(now?: number): Promise<void> {
    for (const fold of this.folds.values()) await fold.writeSilent(now);
  }

  /** The records that windows may be made of which start at `from` or later, as far as they were folded. */
  readAgain(partition: number, from: number): AsyncGenerator<readonly TapeRecord[], void, undefined> {
    const start = this.startFor(partition, from);
    const own = this.startOf(partition);
    const to = this.coverage.get(partition)?.to ?? 0n;
    return readTape(this.sources, partition, start < own ? own : start, to, { found: () => undefined });
  }

  private get sources(): Sources {
    const { archive, log } = this.options;
    return { archive, log, index: this.index, ranges: this.ranges };
  }

  private listener(partition: number) {
    const coverage = this.coverage.get(partition) as Coverage;
    return {
      reading: ({ source, from, to }: { source: string; from: bigint; to: bigint }): void => {
        if (source === 'archive') {
          coverage.objects++;
          coverage.archived += to - from;
        } else if (source === 'log') coverage.fromLog += to - from;
        else coverage.lost += to - from;
      },
      found: (finding: TapeFinding): void => {
        this.findings.push({ ...finding, partition });
        if (finding.kind !== 'lost' && finding.kind !== 'two-logs') return;
        const arrivedBy = finding.kind === 'lost' ? finding.arrivedBy : Number.POSITIVE_INFINITY;
        const until = arrivedBy + this.options.maxFutureMs + CLOCK_MARGIN_MS;
        this.provableFrom.set(partition, Math.max(this.provableFrom.get(partition) ?? until, until));
      },
    };
  }
}
