import { isTransient, retrying, WeirError } from '@weir/flow';
import type { Cluster, EachBatchPayload, Consumer as KafkaJsConsumer, PartitionAssigner } from 'kafkajs';
import { Assignment, type Slot } from './assignment.ts';
import { atMost, createConsumer } from './client.ts';
import { mapError } from './errors.ts';
import { leaveGroup } from './leave-group.ts';
import { toRecords } from './records.ts';
import type { Admin, ConsumerEvent, ConsumerHandler, ConsumerOptions, PartitionLag } from './types.ts';
import { Watchdog } from './watchdog.ts';

/** An app that takes longer than this for a batch has its partition paused, so that the others go on. */
const PATIENCE_MS = 200;
const DISCONNECT_DEADLINE_MS = 5_000;
/** Attempts to learn where fresh partitions stand, before the session is given up: about 3 s. */
const PLACE_ATTEMPTS = 8;

const GIVEN_UP = new WeirError('WEIR_STATE', 'fatal', 'this session of the Kafka consumer was given up');

/**
 * One life of a kafkajs consumer, from connecting to its end; `ended` tells why. Longer outages than kafkajs itself
 * bridges end a session, and the consumer opens the next.
 */
export class Session {
  readonly ended: Promise<Error>;
  /** The group's name for this member, '' before the first join. */
  memberId = '';
  readonly #end: (error: Error) => void;
  readonly #options: ConsumerOptions;
  readonly #handler: ConsumerHandler;
  readonly #admin: Admin;
  readonly #emit: (event: ConsumerEvent) => void;
  readonly #assignment = new Assignment();
  readonly #consumer: KafkaJsConsumer;
  readonly #watchdog: Watchdog;
  readonly #formerMember: string;
  #cluster: Cluster | null = null;
  #closing = false;
  /** Given up: kafkajs may still be at work behind a wait that never ended, and must not become a member again. */
  #abandoned = false;
  /** Rejects at the end, so that nobody waits for an answer of a broker that may be gone. */
  readonly #givenUp = Promise.withResolvers<never>();
  #generation = 0;
  #commitNow: EachBatchPayload['commitOffsetsIfNecessary'] | null = null;
  /** Calls of `revoked` and `assigned`, in the order of the rebalances. */
  #membership: Promise<void> = Promise.resolve();

  /** @param formerMember the member that this process was before, whose place it gives up first; or '' */
  constructor(
    options: ConsumerOptions,
    admin: Admin,
    emit: (event: ConsumerEvent) => void,
    formerMember: string,
  ) {
    this.#options = options;
    this.#formerMember = formerMember;
    const rebalanceTimeoutMs = Math.max(20_000, 2 * options.sessionTimeoutMs);
    this.#handler = options.handler;
    this.#admin = admin;
    this.#emit = emit;
    let end: (error: Error) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    this.#givenUp.promise.catch(() => undefined);
    this.#consumer = createConsumer(options, rebalanceTimeoutMs, this.#assigner);
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.#onJoin(payload.memberId, payload.memberAssignment[options.topic] ?? []);
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      this.#end(mapError(`reading topic ${options.topic} as group ${options.groupId}`, payload.error));
    });
    this.#watchdog = new Watchdog({
      consumer: options,
      rebalanceTimeoutMs,
      admin,
      assignment: this.#assignment,
      stuck: (silentMs, what) => {
        if (this.#closing) return;
        this.#emit({ kind: 'stuck', silentMs });
        this.#fail(what);
      },
    });
    this.#consumer.on(events.HEARTBEAT, () => this.#watchdog.beat());
  }

  /** A member by a recent heartbeat, which reads at least one partition unless others have them all. */
  get healthy(): boolean {
    const { lastBeatAt, standby } = this.#watchdog;
    if (this.memberId === '' || performance.now() - lastBeatAt >= this.#options.sessionTimeoutMs)
      return false;
    return standby || [...this.#assignment.slots.values()].some(({ ready }) => ready);
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
      if (this.#formerMember !== '' && this.#cluster !== null)
        await leaveGroup(this.#cluster, groupId, this.#formerMember);
      if (this.#closing) return;
      await this.#consumer.subscribe({ topics: [topic], fromBeginning: true });
      if (this.#closing) return;
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

  readonly #assigner: PartitionAssigner = (config) => {
    this.#cluster = config.cluster;
    const inner = this.#assignment.assigner(this.#options.topic)(config);
    return {
      ...inner,
      // Called for every join request, right before it is sent.
      protocol: (subscription) => {
        this.#refuseAbandoned();
        this.#watchdog.joins();
        return inner.protocol(subscription);
      },
      assign: (group) => {
        // An empty assignment would be kept until somebody else joins or leaves.
        if (config.cluster.findTopicPartitionMetadata(this.#options.topic).length > 0)
          return inner.assign(group);
        throw new WeirError(
          'WEIR_CONNECTION_LOST',
          'transient',
          `assigning topic ${this.#options.topic}: the broker shows no partition of it yet`,
        );
      },
    };
  };

  #refuseAbandoned(): void {
    if (this.#abandoned) throw GIVEN_UP;
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
    this.#givenUp.reject(GIVEN_UP);
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
    this.#abandoned = true;
  }

  /** After `ended`: gives the partitions back to the app and the sockets to the system. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#abandoned = true;
    this.#givenUp.reject(GIVEN_UP);
    const lost = this.#assignment.clear();
    await this.#disconnect();
    await this.#membership;
    await this.#revoke(lost);
  }

  async #disconnect(): Promise<void> {
    this.#watchdog.stop();
    await atMost(DISCONNECT_DEADLINE_MS, this.#consumer.disconnect());
  }

  #onJoin(memberId: string, partitions: readonly number[]): void {
    this.#refuseAbandoned();
    this.#watchdog.joined(partitions.length);
    this.memberId = memberId;
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
    // A new topic or a new coordinator answers with errors for a moment; joining again would only prolong that.
    const places = await retrying(() => this.#places(fresh), {
      attempts: PLACE_ATTEMPTS,
      maxMs: 1_000,
      shouldRetry: (error) => isTransient(error) && !this.#closing,
    });
    await Promise.all(
      fresh.map(async (slot) => {
        const place = places.get(slot.partition) as PartitionLag;
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

  async #places(fresh: readonly Slot[]): Promise<Map<number, PartitionLag>> {
    const lag = await Promise.race([
      this.#admin.groupLag(this.#options.groupId, this.#options.topic),
      this.#givenUp.promise,
    ]);
    const places = new Map(lag.map((place) => [place.partition, place]));
    const missing = fresh.find(({ partition }) => !places.has(partition));
    if (missing === undefined) return places;
    throw new WeirError(
      'WEIR_CONNECTION_LOST',
      'transient',
      `partition ${missing.partition} of topic ${this.#options.topic} was assigned but is not there`,
    );
  }

  #outOfRange(slot: Slot, wanted: bigint, start: bigint, end: bigint): bigint {
    const missing = start > wanted ? start - wanted : 0n;
    this.#emit({ kind: 'offset-out-of-range', partition: slot.partition, wanted, start, end, missing });
    return start;
  }

  async #onBatch(payload: EachBatchPayload): Promise<void> {
    this.#refuseAbandoned();
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
    if (slot.position > place.end) {
      // The app holds what belongs to the old log: it must be asked again, as at a start.
      this.#outOfRange(slot, slot.position, place.start, place.end);
      this.#fail(
        `partition ${slot.partition} has no offset ${slot.position} any more: the topic was made anew`,
      );
      return false;
    }
    if (slot.position < place.start) {
      slot.position = this.#outOfRange(slot, slot.position, place.start, place.end);
      if (first === slot.position) return true;
    } else if (first > slot.position) {
      return true;
    }
    this.#seek(slot);
    return false;
  }

  /** Ends this session; the next begins anew. */
  #fail(what: string): void {
    this.#closing = true;
    this.#end(new WeirError('WEIR_TIMEOUT', 'transient', what));
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
