import type { Assignment } from './assignment.ts';
import type { Admin, ConsumerOptions } from './types.ts';

const STUCK_MS = 30_000;
const CHECK_MS = 5_000;
/** A member without a partition joins again after this time, unless others have them all. */
const EMPTY_MS = 8_000;
/** Added to the longest time that a join may take by the rules of the group. */
const JOIN_SLACK_MS = 15_000;

export interface WatchdogOptions {
  readonly consumer: Pick<ConsumerOptions, 'groupId' | 'topic' | 'sessionTimeoutMs'>;
  readonly rebalanceTimeoutMs: number;
  readonly admin: Pick<Admin, 'groupSize' | 'topicOffsets'>;
  readonly assignment: Assignment;
  /** Called at most once. */
  readonly stuck: (silentMs: number, what: string) => void;
}

/**
 * Nothing inside the client may wait for ever: it must join, then beat; it must have partitions unless others have
 * them all; and every partition must move while it has something to read.
 */
export class Watchdog {
  /** Last heartbeat or join, by `performance.now()`. */
  lastBeatAt = performance.now();
  /** Joined without a partition, and rightly so: the group has more members than the topic has partitions. */
  standby = false;
  readonly #options: WatchdogOptions;
  readonly #timer: NodeJS.Timeout;
  #stopped = false;
  /** A join is under way; no heartbeats meanwhile. */
  #joining = true;
  #aliveAt = performance.now();
  #checkedAt = performance.now();
  #emptySince: number | null = null;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#timer.unref();
  }

  /** A join request is about to be sent. */
  joins(): void {
    this.#joining = true;
    this.#aliveAt = performance.now();
  }

  joined(partitions: number): void {
    this.beat();
    this.#joining = false;
    this.standby = false;
    this.#emptySince = partitions === 0 ? this.lastBeatAt : null;
    if (partitions === 0) this.#judgeEmpty(this.lastBeatAt);
  }

  beat(): void {
    this.lastBeatAt = performance.now();
    this.#aliveAt = this.lastBeatAt;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  #check(): void {
    const now = performance.now();
    const stoodStill = now - this.#checkedAt > 2 * CHECK_MS; // this process itself: the client gets its turn first
    this.#checkedAt = now;
    if (this.#stopped || stoodStill) return;
    const { consumer, rebalanceTimeoutMs } = this.#options;
    const silentMs = Math.round(now - this.#aliveAt);
    const limit = this.#joining ? rebalanceTimeoutMs + JOIN_SLACK_MS : 2 * consumer.sessionTimeoutMs;
    if (silentMs > limit) {
      const missing = this.#joining ? 'not joined' : 'no heartbeat';
      this.#stuck(silentMs, `group ${consumer.groupId}: ${missing} in ${silentMs} ms`);
      return;
    }
    if (this.#emptySince !== null) this.#judgeEmpty(this.#emptySince);
    this.#checkPartitions(now);
  }

  #checkPartitions(now: number): void {
    const { assignment, admin, consumer } = this.#options;
    const silent = [...assignment.slots.values()].filter(
      ({ ready, busy, movedAt }) => ready && busy === null && now - movedAt > STUCK_MS,
    );
    if (silent.length === 0) return;
    const before = new Map(silent.map((slot) => [slot, slot.position]));
    admin.topicOffsets(consumer.topic).then(
      (offsets) => {
        for (const { partition, end } of offsets) {
          const slot = assignment.slots.get(partition);
          if (slot === undefined || slot.position !== before.get(slot)) continue;
          if (end <= slot.position) {
            slot.movedAt = performance.now();
            continue;
          }
          const silentMs = Math.round(performance.now() - slot.movedAt);
          const waiting = end - slot.position;
          this.#stuck(
            silentMs,
            `reading partition ${partition}: nothing in ${silentMs} ms although ${waiting} records wait`,
          );
          return;
        }
      },
      () => undefined, // the broker is away: the session notices by itself
    );
  }

  /** Joined without a partition: right when others have them all, else the group is joined again after a while. */
  #judgeEmpty(since: number): void {
    const { admin, consumer } = this.#options;
    Promise.all([admin.groupSize(consumer.groupId), admin.topicOffsets(consumer.topic)]).then(
      ([members, partitions]) => {
        if (this.#emptySince !== since) return;
        this.standby = members > partitions.length;
        const silentMs = Math.round(performance.now() - since);
        if (this.standby || silentMs < EMPTY_MS) return;
        this.#stuck(
          silentMs,
          `group ${consumer.groupId}: no partition of ${partitions.length} was assigned to one of ${members} members`,
        );
      },
      () => undefined,
    );
  }

  #stuck(silentMs: number, what: string): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.stuck(silentMs, what);
  }
}
