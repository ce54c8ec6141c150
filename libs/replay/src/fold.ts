import {
  claimPartition,
  type Database,
  type OpenPartition,
  type PartitionWriter,
  resetPartition,
} from '@weir/connect-timescale';
import { joinLines, partitionOf } from '@weir/reading';
import { type Counts, noCounts, type WindowOptions } from '@weir/windows';
import { readTape, type Sources, type TapeListener, type TapeRecord } from './tape.ts';

export interface FoldOptions {
  /** Where the rows go; its tables are those of a scratch schema. */
  readonly database: Database;
  readonly writer: PartitionWriter;
  readonly sources: () => Sources;
  readonly topic: string;
  readonly partitions: number;
  readonly windows: WindowOptions;
  readonly listener: (partition: number) => TapeListener;
  /** Told of every record batch that was folded. */
  readonly folded: (records: number, readings: number) => void;
  /** Aborts the fold between two batches. */
  readonly signal: AbortSignal;
}

/** Readings in one transaction. Two of them are in memory: one is written while the next is folded. */
const READINGS = 100_000;
/** Nothing is silent while the log is read: its readings are as old as they are. */
const NEVER = 0;
const ALWAYS = Number.POSITIVE_INFINITY;

/**
 * One partition's log on its way into rows, with the code of the live pipeline; it can be driven to one offset, and
 * later on from there to the next.
 */
export class PartitionFold {
  readonly partition: number;
  private readonly options: FoldOptions;
  private readonly owned: OpenPartition;
  private writing: Promise<void> = Promise.resolve();
  private pending = 0;
  readonly counts: Counts = noCounts();

  private constructor(options: FoldOptions, owned: OpenPartition) {
    this.options = options;
    this.owned = owned;
    this.partition = owned.partition;
  }

  /** @param start first offset that is folded */
  static async open(options: FoldOptions, partition: number, start: bigint): Promise<PartitionFold> {
    const { database, topic, writer, windows, partitions } = options;
    const claim = await claimPartition(database, topic, partition, 'weir');
    const position =
      start === 0n ? claim.position : await resetPartition(database, topic, partition, claim.epoch, start);
    const belongs = (device: string): boolean => partitionOf(device, partitions) === partition;
    const { owned } = await writer.open(partition, { ...claim, position }, windows, belongs, NEVER);
    return new PartitionFold(options, owned);
  }

  get next(): bigint {
    return this.owned.state.nextOffset;
  }

  /** Folds up to `to` (exclusive) and writes everything. */
  async foldTo(to: bigint): Promise<void> {
    const { sources, listener, signal } = this.options;
    try {
      for await (const batch of readTape(
        sources(),
        this.partition,
        this.next,
        to,
        listener(this.partition),
      )) {
        signal.throwIfAborted();
        await this.foldBatch(batch);
      }
      await this.write(NEVER);
    } finally {
      await this.writing;
    }
  }

  private async foldBatch(batch: readonly TapeRecord[]): Promise<void> {
    const { state } = this.owned;
    let readings = 0;
    for (const { offset, lines } of batch) {
      const folded = state.apply(offset, joinLines(lines), arrivalOf(lines));
      readings += folded;
      this.pending += folded;
      if (this.pending >= READINGS) await this.write(NEVER);
    }
    this.options.folded(batch.length, readings);
  }

  /**
   * Writes the open windows of the devices from which nothing arrived for the idle timeout at `now` (epoch
   * milliseconds; all devices when it is absent).
   */
  async writeSilent(now = ALWAYS): Promise<void> {
    await this.writing;
    while (this.options.writer.hasWork(this.owned, now)) {
      this.options.signal.throwIfAborted();
      await this.write(now);
      await this.writing;
    }
  }

  /** Hands out what is folded once the transaction before is done; this one goes on beside the fold. */
  private async write(now: number): Promise<void> {
    const { writer } = this.options;
    await this.writing;
    this.pending = 0;
    await writer.prepare([this.owned], () => now);
    const handout = writer.collect(this.owned, now);
    this.owned.state.takeBuried(); // they are dead letters already
    for (const key of Object.keys(this.counts) as (keyof Counts)[])
      this.counts[key] += handout.rows.counts[key];
    this.writing = writer.write([handout]);
    this.writing.catch(() => undefined); // told to whoever waits for it next
  }
}

const ARRIVAL = /"at":(\d+)/;

/** Arrival of a record, epoch milliseconds, as its first line says; 0 when it does not. */
function arrivalOf(lines: readonly string[]): number {
  return Number(ARRIVAL.exec(lines[0] ?? '')?.[1] ?? 0);
}
