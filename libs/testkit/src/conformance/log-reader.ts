import assert from 'node:assert/strict';
import { atEnd, type Scope } from '../scope.ts';
import type { LogConsumer, LogUnderTest } from './log-types.ts';

export interface ReaderOptions {
  readonly from?: (partition: number) => bigint;
  /** After a new assignment, go on behind what was read before, as an app with a place of its own does. */
  readonly resume?: boolean;
  /** What the handler does with a batch; null for nothing. */
  readonly work?: (partition: number) => Promise<void> | null;
  readonly each?: (value: Buffer) => void;
  readonly onRevoked?: (why: 'rebalance' | 'stop', consumer: LogConsumer) => Promise<void>;
  readonly fatalOk?: boolean;
}

/** A group member that notes what it reads; it is stopped with the scope. */
export class Reader {
  readonly consumer: LogConsumer;
  readonly groupId: string;
  readonly revocations: number[][] = [];
  total = 0;
  fatal: Error | null = null;
  readonly #seen = new Map<number, number[]>();

  constructor(scope: Scope, log: LogUnderTest, topic: string, group: string, options: ReaderOptions = {}) {
    this.groupId = `${topic}.${group}`;
    this.consumer = log.openConsumer({
      groupId: this.groupId,
      topic,
      onFatal: (error) => {
        this.fatal = error;
        if (options.fatalOk !== true) throw error;
      },
      handler: {
        assigned: (partition) => {
          const last = this.offsets(partition).at(-1);
          if (options.resume === true && last !== undefined) return Promise.resolve(BigInt(last + 1));
          return Promise.resolve(options.from?.(partition) ?? null);
        },
        batch: async (partition, records, highWatermark) => {
          const seen = this.#seen.get(partition) ?? [];
          this.#seen.set(partition, seen);
          for (const { offset, value } of records) {
            assert.ok(offset < highWatermark);
            seen.push(Number(offset));
            options.each?.(value);
          }
          this.total += records.length;
          await options.work?.(partition);
        },
        revoked: async (partitions, why) => {
          this.revocations.push([...partitions]);
          await options.onRevoked?.(why, this.consumer);
        },
      },
    });
    atEnd(scope, () => this.consumer.stop());
  }

  start(): Promise<void> {
    return this.consumer.start();
  }

  offsets(partition: number): readonly number[] {
    return this.#seen.get(partition) ?? [];
  }

  /** Records read, repeats counted once. */
  get distinct(): number {
    let sum = 0;
    for (const offsets of this.#seen.values()) sum += new Set(offsets).size;
    return sum;
  }

  /** Every partition holds exactly the offsets 0 to `count` - 1, in order. */
  assertExact(partitions: number, count: number): void {
    const expected = Array.from({ length: count }, (_, i) => i);
    for (let partition = 0; partition < partitions; partition++) {
      assert.deepEqual(this.offsets(partition), expected, `partition ${partition}`);
    }
  }

  /** Within each partition the offsets have no hole and never go back. */
  assertOrdered(): void {
    for (const [partition, offsets] of this.#seen) {
      offsets.forEach((offset, i) => {
        assert.equal(offset, i, `partition ${partition}`);
      });
    }
  }
}
