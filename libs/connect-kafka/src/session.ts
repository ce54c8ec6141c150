import { WeirError } from '@weir/flow';
import type { EachBatchPayload, Consumer as KafkaJsConsumer } from 'kafkajs';
import { Assignment, type Slot } from './assignment.ts';
import { atMost, createKafka } from './client.ts';
import { mapError } from './errors.ts';
import { toRecords } from './records.ts';
import type { Admin, ConsumerEvent, ConsumerHandler, ConsumerOptions } from './types.ts';

/** An app that takes longer than this for a batch has its partition paused, so that the others go on. */
const PATIENCE_MS = 200;
const STUCK_MS = 30_000;
const CHECK_MS = 5_000;
const DISCONNECT_DEADLINE_MS = 5_000;

/**
 * One life of a kafkajs consumer, from connecting to its end; `ended` tells why. Longer outages than kafkajs itself
 * bridges end a session, and the consumer opens the next.
 */
export class Session {
  readonly ended: Promise<Error>;
  joinedOnce = false;
  lastBeatAt = performance.now();
  readonly #end: (error: Error) => void;
  readonly #options: ConsumerOptions;
  readonly #handler: ConsumerHandler;
  readonly #admin: Admin;
  readonly #emit: (event: ConsumerEvent) => void;
  readonly #assignment = new Assignment();
  readonly #consumer: KafkaJsConsumer;
  readonly #watch: NodeJS.Timeout;
  #closing = false;
  #generation = 0;
  #commitNow: EachBatchPayload['commitOffsetsIfNecessary'] | null = null;
  /** Calls of `revoked` and `assigned`, in the order of the rebalances. */
  #membership: Promise<void> = Promise.resolve();

  constructor(options: ConsumerOptions, admin: Admin, emit: (event: ConsumerEvent) => void) {
    this.#options = options;
    this.#handler = options.handler;
    this.#admin = admin;
    this.#emit = emit;
    let end: (error: Error) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    this.#consumer = createKafka(options, {
      retries: 5,
      initialRetryTime: 50,
      maxRetryTime: 1_000,
      factor: 0.5,
    }).consumer({
      groupId: options.groupId,
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: Math.max(20_000, 2 * options.sessionTimeoutMs),
      heartbeatInterval: Math.min(1_000, Math.floor(options.sessionTimeoutMs / 4)),
      maxBytesPerPartition: options.maxBytesPerPartition ?? 1 << 20,
      maxBytes: 4 * (options.maxBytesPerPartition ?? 1 << 20),
      minBytes: options.minBytes ?? 64 << 10,
      maxWaitTimeInMs: options.maxWaitMs ?? 100,
      allowAutoTopicCreation: false,
      readUncommitted: true, // nobody writes transactions here, and it spares a filter over every record
      partitionAssigners: [this.#assignment.assigner],
      // Every crash comes here; kafkajs never restarts on its own.
      retry: {
        retries: 5,
        initialRetryTime: 50,
        maxRetryTime: 1_000,
        factor: 0.5,
        restartOnFailure: () => Promise.resolve(false),
      },
    });
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.#onJoin(payload.memberId, payload.memberAssignment[options.topic] ?? []);
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      this.#end(mapError(`reading topic ${options.topic} as group ${options.groupId}`, payload.error));
    });
    this.#consumer.on(events.HEARTBEAT, () => {
      this.lastBeatAt = performance.now();
    });
    this.#watch = setInterval(() => this.#check(), CHECK_MS);
    this.#watch.unref();
  }

  get assigned(): ReadonlySet<number> {
    return new Set(
      [...this.#assignment.slots.values()].filter(({ ready }) => ready).map(({ partition }) => partition),
    );
  }

  async run(): Promise<void> {
    const { topic, groupId } = this.#options;
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: [topic], fromBeginning: true });
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 12,
        eachBatch: (payload) => this.#onBatch(payload),
      });
    } catch (error) {
      this.#end(mapError(`joining group ${groupId} for topic ${topic}`, error));
    }
  }

  /** Commits once, without kafkajs's retries: a retry after a rebalance would write places of lost partitions. */
  async commit(offsets: ReadonlyMap<number, bigint>): Promise<readonly number[]> {
    const partitions = [...offsets]
      .filter(([partition]) => this.#assignment.slots.has(partition))
      .map(([partition, offset]) => ({ partition, offset: String(offset) }));
    if (partitions.length === 0) return [];
    const doing = `committing ${partitions.length} offsets of group ${this.#options.groupId}`;
    if (this.#commitNow === null) {
      throw new WeirError(
        'WEIR_CONNECTION_LOST',
        'transient',
        `${doing}: nothing was read yet in this session`,
      );
    }
    try {
      await this.#commitNow({ topics: [{ topic: this.#options.topic, partitions }] });
    } catch (error) {
      throw mapError(doing, error);
    }
    return partitions.map(({ partition }) => partition);
  }

  /** Orderly end: running batches, `revoked('stop')` with commits possible, leave the group. */
  async stop(): Promise<void> {
    this.#closing = true;
    const slots = [...this.#assignment.slots.values()];
    this.#pause(slots);
    await Promise.all(slots.map(({ busy }) => busy));
    await this.#membership;
    const ready = slots.filter((slot) => slot.ready && this.#assignment.has(slot));
    if (ready.length > 0) {
      await this.#handler.revoked(
        ready.map(({ partition }) => partition),
        'stop',
      );
    }
    this.#assignment.clear();
    await this.#disconnect();
  }

  /** After `ended`: gives the partitions back to the app and the sockets to the system. */
  async abandon(): Promise<void> {
    this.#closing = true;
    const lost = this.#assignment.clear();
    await this.#disconnect();
    await this.#membership;
    await this.#revoke(lost);
  }

  async #disconnect(): Promise<void> {
    clearInterval(this.#watch);
    await atMost(DISCONNECT_DEADLINE_MS, this.#consumer.disconnect());
  }

  #onJoin(memberId: string, partitions: readonly number[]): void {
    this.lastBeatAt = performance.now();
    this.joinedOnce = true;
    const { lost, kept, fresh } = this.#assignment.joined(memberId, partitions);
    // kafkajs starts again at the committed offsets after a join; this runs before its next fetch.
    for (const slot of kept) if (slot.ready) this.#seek(slot);
    this.#pause(fresh);
    this.#emit({ kind: 'assigned', partitions, generation: ++this.#generation });
    this.#membership = this.#membership
      .then(() => this.#revoke(lost))
      .then(() => this.#assign(fresh))
      .catch((error: unknown) => this.#end(error instanceof Error ? error : new Error(String(error))));
  }

  async #revoke(lost: readonly Slot[]): Promise<void> {
    const told = lost.filter(({ ready }) => ready);
    if (told.length > 0) {
      await this.#handler.revoked(
        told.map(({ partition }) => partition),
        'rebalance',
      );
    }
    await Promise.all(lost.map(({ busy }) => busy));
  }

  async #assign(fresh: readonly Slot[]): Promise<void> {
    if (fresh.length === 0 || this.#closing) return;
    const lag = await this.#admin.groupLag(this.#options.groupId, this.#options.topic);
    const places = new Map(lag.map((place) => [place.partition, place]));
    await Promise.all(
      fresh.map(async (slot) => {
        const place = places.get(slot.partition);
        if (place === undefined) {
          throw new WeirError(
            'WEIR_CONNECTION_LOST',
            'transient',
            `partition ${slot.partition} of topic ${this.#options.topic} was assigned but is not there`,
          );
        }
        const { committed, start, end } = place;
        const wanted = (await this.#handler.assigned(slot.partition, place)) ?? committed ?? start;
        if (!this.#assignment.has(slot) || this.#closing) {
          // Lost while the app was preparing: it must know, since it may hold state for this partition now.
          await this.#handler.revoked([slot.partition], 'rebalance');
          return;
        }
        slot.position = wanted < start || wanted > end ? this.#outOfRange(slot, wanted, start, end) : wanted;
        slot.ready = true;
        slot.movedAt = performance.now();
        this.#seek(slot);
        this.#resume(slot);
      }),
    );
  }

  #outOfRange(slot: Slot, wanted: bigint, start: bigint, end: bigint): bigint {
    const missing = start > wanted ? start - wanted : 0n;
    this.#emit({ kind: 'offset-out-of-range', partition: slot.partition, wanted, start, end, missing });
    return start;
  }

  async #onBatch(payload: EachBatchPayload): Promise<void> {
    const { batch, resolveOffset, isStale, isRunning } = payload;
    this.#commitNow = payload.commitOffsetsIfNecessary;
    const slot = this.#assignment.slots.get(batch.partition);
    const first = batch.messages[0];
    const last = batch.messages.at(-1);
    if (first === undefined || last === undefined || slot === undefined) return;
    if (!slot.ready || slot.busy !== null || this.#closing || isStale() || !isRunning()) return;
    if (BigInt(first.offset) !== slot.position && !(await this.#checkJump(slot, BigInt(first.offset))))
      return;
    const records = toRecords(batch.messages, slot.position);
    resolveOffset(last.offset);
    if (records.length === 0) return;
    slot.position = BigInt(last.offset) + 1n;
    slot.movedAt = performance.now();
    const work = this.#work(slot, () =>
      this.#handler.batch(slot.partition, records, BigInt(batch.highWatermark)),
    );
    await atMost(PATIENCE_MS, work);
    if (slot.busy === null || !this.#assignment.has(slot) || this.#closing) return;
    this.#pause([slot]);
    void work.then(() => this.#resume(slot));
  }

  /** Never rejects: a failed batch ends the session. */
  #work(slot: Slot, run: () => Promise<void>): Promise<void> {
    const work = (async () => {
      try {
        await run();
      } catch (error) {
        this.#closing = true; // nothing after a failed batch may be handed on
        this.#end(error instanceof Error ? error : new Error(String(error)));
      }
      slot.busy = null;
      slot.movedAt = performance.now();
    })();
    slot.busy = work;
    return work;
  }

  /**
   * A batch begins elsewhere than expected. True when its records from the position on may be taken: the log has a
   * hole there. False when the position was moved; the next fetch begins there.
   */
  async #checkJump(slot: Slot, first: bigint): Promise<boolean> {
    const place = (await this.#admin.topicOffsets(this.#options.topic)).find(
      ({ partition }) => partition === slot.partition,
    );
    if (place === undefined || !this.#assignment.has(slot)) return false;
    if (slot.position > place.end || slot.position < place.start) {
      slot.position = this.#outOfRange(slot, slot.position, place.start, place.end);
      if (first === slot.position) return true;
    } else if (first > slot.position) {
      return true;
    }
    this.#seek(slot);
    return false;
  }

  /** Every partition must move while it has something to read; one that does not is stuck inside the client. */
  #check(): void {
    const now = performance.now();
    const silent = [...this.#assignment.slots.values()].filter(
      ({ ready, busy, movedAt }) => ready && busy === null && now - movedAt > STUCK_MS,
    );
    if (silent.length === 0 || this.#closing) return;
    const before = new Map(silent.map((slot) => [slot, slot.position]));
    this.#admin.topicOffsets(this.#options.topic).then(
      (offsets) => {
        for (const { partition, end } of offsets) {
          const slot = this.#assignment.slots.get(partition);
          if (slot === undefined || slot.position !== before.get(slot)) continue;
          if (end <= slot.position) {
            slot.movedAt = performance.now();
            continue;
          }
          const silentMs = Math.round(performance.now() - slot.movedAt);
          this.#emit({ kind: 'stuck', silentMs });
          this.#end(
            new WeirError(
              'WEIR_TIMEOUT',
              'transient',
              `reading partition ${partition}: nothing in ${silentMs} ms although ${end - slot.position} records wait`,
            ),
          );
          return;
        }
      },
      () => undefined, // the broker is away: the session notices by itself
    );
  }

  #seek(slot: Slot): void {
    this.#consumer.seek({
      topic: this.#options.topic,
      partition: slot.partition,
      offset: String(slot.position),
    });
  }

  #pause(slots: readonly Slot[]): void {
    if (slots.length === 0) return;
    this.#tolerant(() =>
      this.#consumer.pause([
        { topic: this.#options.topic, partitions: slots.map(({ partition }) => partition) },
      ]),
    );
  }

  #resume(slot: Slot): void {
    if (this.#closing || !this.#assignment.has(slot)) return;
    this.#tolerant(() =>
      this.#consumer.resume([{ topic: this.#options.topic, partitions: [slot.partition] }]),
    );
  }

  /** kafkajs throws when its consumer has just ended; the end is already known through its crash event. */
  #tolerant(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#end(mapError(`reading topic ${this.#options.topic}`, error));
    }
  }
}
