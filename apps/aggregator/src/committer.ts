import { setTimeout as delay } from 'node:timers/promises';
import { FencedError, type Outgoing, type PartitionWriter, type Rows } from '@weir/connect-timescale';
import { retrying } from '@weir/flow';
import type { HopTime } from '@weir/observe';
import { type BuriedLine, type Counts, noCounts } from '@weir/windows';
import type { Events } from './events.ts';
import { type Held, type Partitions, silenceClock } from './partitions.ts';

export interface CommitterOptions {
  readonly intervalMs: number;
  readonly partitions: Partitions;
  readonly writer: PartitionWriter;
  /** Books the time that the database takes. */
  readonly time: HopTime;
  readonly events: Events;
  readonly bury: (lines: readonly { partition: number; line: BuriedLine }[]) => Promise<void>;
  /** Called after each transaction with the next offsets, for lag tools. */
  readonly committed: (offsets: ReadonlyMap<number, bigint>) => void;
  /** Partitions were lost to another owner and let go. */
  readonly fenced: (partitions: readonly number[]) => void;
  /** Aborts when even the last commit has to be given up. */
  readonly giveUp: AbortSignal;
}

/** A partition's share of a transaction, and what is told when it is committed. */
interface Share extends Outgoing<Held> {
  readonly readings: number;
  readonly samples: readonly number[];
  readonly foldedSince: number | undefined;
}

function shareOf(outgoing: Outgoing<Held>): Share {
  const { folded: readings, samples, foldedSince } = outgoing.owned;
  outgoing.owned.folded = 0;
  outgoing.owned.samples = [];
  outgoing.owned.foldedSince = undefined;
  return { ...outgoing, readings, samples, foldedSince };
}

/**
 * One transaction at a time over all owned partitions, about every interval. While the database or Kafka is away it
 * keeps trying with the same rows; the budget of `Partitions` bounds what gathers meanwhile.
 */
export class Committer {
  private readonly options: CommitterOptions;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;
  private pausing = new AbortController();

  constructor(options: CommitterOptions) {
    this.options = options;
    options.partitions.onHalfFull = () => this.pausing.abort();
  }

  /** Commits until `stop`. Rejects with the first error that a retry cannot mend. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, partitions } = this.options;
    while (!this.stopped) {
      const started = performance.now();
      await this.commit();
      // Under pressure the next transaction follows at once: waiting would only hold the fold back.
      this.pausing = new AbortController();
      const pause = partitions.halfFull ? 0 : intervalMs - (performance.now() - started);
      const until = AbortSignal.any([signal, this.pausing.signal]);
      if (pause > 0) await delay(pause, undefined, { signal: until }).catch(() => undefined);
      if (signal.aborted) return;
    }
  }

  /** Writes everything that is folded. Calls follow each other. */
  commit(): Promise<void> {
    const next = this.running.then(() => this.commitNow());
    this.running = next.catch(() => undefined);
    return next;
  }

  stop(): void {
    this.stopped = true;
  }

  private async commitNow(): Promise<void> {
    const { partitions, writer, time } = this.options;
    const now = performance.now();
    const busy = partitions.all().filter((held) => writer.hasWork(held, now, silenceClock(held, now)));
    if (busy.length === 0) return;
    let written: Promise<void> = Promise.resolve();
    try {
      await partitions.whilePaused(async () => {
        await time.during('sink', () =>
          this.insisting('preparing windows', () => writer.prepare(busy, (held) => silenceClock(held, now))),
        );
        const { outgoing, done } = writer.collectAll(
          busy.filter((held) => partitions.owns(held)),
          performance.now(),
        );
        const shares = outgoing.map(shareOf);
        partitions.setInFlight(
          shares.reduce((sum, { readings }) => sum + readings, 0),
          {
            arrived: Math.min(...shares.map(({ samples }) => samples[0] ?? Number.POSITIVE_INFINITY)),
            here: Math.min(...shares.map(({ foldedSince }) => foldedSince ?? Number.POSITIVE_INFINITY)),
          },
        );
        written = this.buryAndWrite(shares);
        written.catch(() => undefined); // told below, after an error of the fold
        await done;
      });
      // Only from here on: until now the rows were made, and the database took them beside that.
      await time.during('sink', () => written);
    } finally {
      partitions.setInFlight(0);
    }
  }

  private async buryAndWrite(shares: readonly Share[]): Promise<void> {
    const buried = shares.flatMap(({ owned: { partition, state } }) =>
      state.takeBuried().map((line) => ({ partition, line })),
    );
    if (buried.length > 0) {
      await this.insisting('burying lines', () => this.options.bury(buried));
      this.options.events.buried(buried.map(({ line }) => line));
    }
    await this.writeAll(shares);
  }

  private async writeAll(all: readonly Share[]): Promise<void> {
    const { partitions, events } = this.options;
    let shares = all.filter(({ owned }) => partitions.owns(owned));
    while (shares.length > 0) {
      const started = performance.now();
      try {
        await this.insisting('writing windows', () => this.options.writer.write(shares));
        const rows = await Promise.all(shares.map((share) => share.rows));
        this.settle(shares, rows, (performance.now() - started) / 1_000);
        return;
      } catch (error) {
        if (!(error instanceof FencedError)) throw error;
        const lost = new Set(error.partitions);
        const still = shares.map(({ owned }) => owned).filter((held) => partitions.owns(held));
        shares = shares.filter(({ owned }) => !lost.has(owned.partition));
        const mine = still.filter(({ partition }) => lost.has(partition)).map(({ partition }) => partition);
        events.fenced(error.partitions);
        partitions.release(mine);
        if (mine.length > 0) this.options.fenced(mine);
      }
    }
  }

  private settle(shares: readonly Share[], rows: readonly Rows[], seconds: number): void {
    const { partitions, events } = this.options;
    const offsets = new Map<number, bigint>();
    for (const { owned } of shares) if (partitions.owns(owned)) offsets.set(owned.partition, owned.committed);
    const counts = noCounts();
    for (const { counts: own } of rows)
      for (const key of Object.keys(counts) as (keyof Counts)[]) counts[key] += own[key];
    const levels = (rows[0]?.levels ?? []).map((_, level) => ({
      added: rows.reduce((sum, one) => sum + (one.levels[level]?.added.count ?? 0), 0),
      changed: rows.reduce((sum, one) => sum + (one.levels[level]?.changed.count ?? 0), 0),
    }));
    events.committed(
      counts,
      levels,
      seconds,
      shares.flatMap(({ samples }) => samples),
    );
    this.options.committed(offsets);
  }

  private insisting<T>(doing: string, work: () => Promise<T>): Promise<T> {
    return retrying(work, {
      signal: this.options.giveUp,
      shouldRetry: (error) =>
        (error as { retry?: string }).retry === 'transient' && !(error instanceof FencedError),
      onRetry: (error, _attempt, waitMs) => this.options.events.away(doing, error, waitMs),
    });
  }
}
