import {
  type Consumer,
  type ConsumerOptions,
  type KafkaRecord,
  openConsumer,
  type Place,
} from '@weir/connect-kafka';
import { sqlState } from '@weir/connect-timescale';
import { isTransient, retrying } from '@weir/flow';
import type { Events } from './events.ts';
import type { Held, Partitions } from './partitions.ts';

export interface MembershipOptions {
  readonly consumer: Omit<ConsumerOptions, 'handler' | 'onEvent' | 'onFatal'>;
  readonly partitions: Partitions;
  readonly events: Events;
  readonly stopping: AbortSignal;
  readonly claim: (partition: number, place: Place) => Promise<{ held: Held; readFrom: bigint }>;
  readonly fold: (partition: number, records: readonly KafkaRecord[], end: bigint) => Promise<void>;
  readonly flush: () => Promise<void>;
  readonly fatal: (error: unknown) => void;
}

const UNDEFINED_TABLE = '42P01';

/** The place in the Kafka group: which partitions are ours, and leaving and joining again when one was taken. */
export class Membership {
  private readonly options: MembershipOptions;
  private consumer: Consumer;
  private rejoining: Promise<void> | null = null;
  private stopped = false;

  constructor(options: MembershipOptions) {
    this.options = options;
    this.consumer = this.open();
  }

  private open(): Consumer {
    const { consumer, partitions, events, stopping } = this.options;
    return openConsumer({
      ...consumer,
      handler: {
        assigned: async (partition, place) => {
          const { held, readFrom } = await retrying(() => this.options.claim(partition, place), {
            signal: stopping,
            // A schema that is not there yet is being made by whoever started everything.
            shouldRetry: (error) => isTransient(error) || sqlState(error) === UNDEFINED_TABLE,
            onRetry: (error, _attempt, waitMs) => events.away('claiming partitions', error, waitMs),
          });
          partitions.hold(held);
          return readFrom;
        },
        batch: (partition, records, end) => this.options.fold(partition, records, end),
        revoked: async (released, why) => {
          if (why === 'stop') await this.options.flush().catch((error: unknown) => events.gaveUp(error));
          partitions.release(released);
          events.released(released, why);
        },
      },
      onEvent: (event) => {
        if (event.kind === 'offset-out-of-range')
          events.logStartsLater(event.partition, event.wanted, event.start, event.end);
      },
      onFatal: (error) => {
        if (!stopping.aborted) this.options.fatal(error);
      },
    });
  }

  start(): Promise<void> {
    return this.consumer.start();
  }

  /** True, or what is missing. */
  ready(): true | string {
    if (this.consumer.healthy) return true;
    return this.consumer.lastError?.message ?? 'no partition of the readings is assigned here yet';
  }

  /** For lag tools only: a commit that fails is made good by the next. */
  commit(offsets: ReadonlyMap<number, bigint>): void {
    if (offsets.size === 0) return;
    this.consumer.commit(offsets).catch((error: unknown) => this.options.events.groupCommitFailed(error));
  }

  /** A partition was taken by another member: only a new place in the group tells whose it is now. */
  joinAgain(): void {
    if (this.stopped || this.rejoining !== null) return;
    this.rejoining = (async () => {
      await this.consumer.stop();
      this.consumer = this.open();
      if (!this.stopped) await this.consumer.start();
      this.rejoining = null;
    })();
    this.rejoining.catch((error: unknown) => this.options.fatal(error));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.rejoining?.catch(() => undefined);
    await this.consumer.stop();
  }
}
