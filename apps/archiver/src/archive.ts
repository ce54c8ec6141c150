import { type ConsumerHandler, forgetRecords, type KafkaRecord } from '@weir/connect-kafka';
import type { ArchiverEvents } from './events.ts';
import { every, PartitionArchive, type PartitionOptions } from './partition-archive.ts';

export interface ArchiveOptions extends Omit<PartitionOptions, 'hurry'> {
  /** Time since its first record was taken at which an object is finished, in milliseconds. */
  readonly objectAgeMs: number;
}

/** The last objects get this long at a stop; after that the next start reads their records again. */
const FLUSH_MS = 10_000;

/** All partitions of this process, as the Kafka consumer's handler. */
export class Archive implements ConsumerHandler {
  readonly events: ArchiverEvents;
  readonly #options: ArchiveOptions;
  readonly #partitions = new Map<number, PartitionArchive>();
  readonly #hurry = new AbortController();

  constructor(options: ArchiveOptions) {
    this.events = options.events;
    this.#options = options;
  }

  /** Age in seconds of the oldest record that was taken and is not archived; 0 when there is none. */
  oldestSeconds(): number {
    const now = performance.now();
    const ages = [...this.#partitions.values()].map(({ oldest }) => (oldest === null ? 0 : now - oldest));
    return Math.max(0, ...ages) / 1000;
  }

  /** Finishes objects by age until `signal` aborts. */
  watchAges(signal: AbortSignal): void {
    const finishOld = (): void => {
      const now = performance.now();
      for (const partition of this.#partitions.values()) {
        const since = partition.openSince;
        if (since !== null && now - since >= this.#options.objectAgeMs) partition.finish();
      }
    };
    void every(Math.min(1_000, this.#options.objectAgeMs / 4), signal, finishOld);
  }

  /** The app stops: nobody waits for room any more. */
  hurry(): void {
    this.#hurry.abort();
  }

  assigned(partition: number): Promise<null> {
    this.#partitions.set(
      partition,
      new PartitionArchive(partition, { ...this.#options, hurry: this.#hurry.signal }),
    );
    return Promise.resolve(null);
  }

  async batch(partition: number, records: readonly KafkaRecord[]): Promise<void> {
    const archive = this.#partitions.get(partition);
    if (archive === undefined) return;
    await archive.take(records);
    forgetRecords(records); // their lines are copied
    this.#makeRoom();
    await archive.room();
  }

  async revoked(partitions: readonly number[], why: 'rebalance' | 'stop'): Promise<void> {
    const archives = partitions.flatMap((partition) => this.#partitions.get(partition) ?? []);
    if (why === 'stop') {
      const signal = AbortSignal.timeout(FLUSH_MS);
      await Promise.all(archives.map((archive) => archive.flush(signal)));
    }
    let dropped = 0;
    for (const archive of archives) {
      dropped += archive.abandon();
      this.#partitions.delete(archive.partition);
    }
    if (why === 'stop' && dropped > 0) this.events.flushLate(dropped);
    this.events.partitionsGone(partitions, why);
  }

  /**
   * Twelve partitions that grow alike would fill the budget before any of them is large enough: from half of it on,
   * the largest open objects are finished early, so that what is being stored gives room back.
   */
  #makeRoom(): void {
    const { budget } = this.#options;
    const bySize = [...this.#partitions.values()].sort((a, b) => b.openBytes - a.openBytes);
    let open = bySize.reduce((sum, { openBytes }) => sum + openBytes, 0);
    for (const partition of bySize) {
      if (open * 2 <= budget.limit) return;
      open -= partition.openBytes;
      partition.finish();
    }
  }
}
