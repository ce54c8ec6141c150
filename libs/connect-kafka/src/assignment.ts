import type { PartitionAssigner } from 'kafkajs';
import { stickyAssigner } from './sticky-assigner.ts';

/** One partition while it is assigned here. A new assignment makes a new slot, so old work is told apart. */
export interface Slot {
  readonly partition: number;
  /** The next offset to hand to the app; -1 until the app has said where to read from. */
  position: bigint;
  /** `handler.assigned` has answered. */
  ready: boolean;
  /** The batch that the app is working on. */
  busy: Promise<void> | null;
  /** When the position last moved or was found to be at the end, by `performance.now()`. */
  movedAt: number;
}

export interface Change {
  readonly lost: readonly Slot[];
  readonly kept: readonly Slot[];
  readonly fresh: readonly Slot[];
}

/**
 * The partitions of this member. kafkajs rejoins "eagerly" and forgets all positions; this class knows which
 * partitions may simply go on.
 */
export class Assignment {
  readonly slots = new Map<number, Slot>();
  #memberId = '';
  #joins = 0;

  /** Leaves partitions where they are; it also counts the join requests that this member sends. */
  assigner(topic: string): PartitionAssigner {
    const sticky = stickyAssigner(topic, () => [...this.slots.keys()]);
    return (config) => {
      const inner = sticky(config);
      return {
        ...inner,
        protocol: (subscription) => {
          this.#joins++;
          return inner.protocol(subscription);
        },
      };
    };
  }

  /**
   * Takes the outcome of a join. A partition is kept only when nobody can have owned it in between: the member id is
   * the same (a member that was put out gets a new one) and exactly one join request lies between the two outcomes
   * (so there was no generation whose assignment this member did not see).
   */
  joined(memberId: string, partitions: readonly number[]): Change {
    const unbroken = memberId === this.#memberId && this.#joins === 1;
    this.#memberId = memberId;
    this.#joins = 0;
    const wanted = new Set(partitions);
    const lost = [...this.slots.values()].filter(({ partition }) => !unbroken || !wanted.has(partition));
    for (const { partition } of lost) this.slots.delete(partition);
    const kept = [...this.slots.values()];
    const fresh = partitions
      .filter((partition) => !this.slots.has(partition))
      .map((partition) => ({
        partition,
        position: -1n,
        ready: false,
        busy: null,
        movedAt: performance.now(),
      }));
    for (const slot of fresh) this.slots.set(slot.partition, slot);
    return { lost, kept, fresh };
  }

  /** Gives everything up: the session is over. */
  clear(): readonly Slot[] {
    const lost = [...this.slots.values()];
    this.slots.clear();
    this.#memberId = '';
    this.#joins = 0;
    return lost;
  }

  has(slot: Slot): boolean {
    return this.slots.get(slot.partition) === slot;
  }
}
