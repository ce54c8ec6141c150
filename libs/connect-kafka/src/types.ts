import type { Socket } from 'node:net';
import type { Logger } from '@weir/observe';

/** What every connection to Kafka needs. */
export interface KafkaOptions {
  /** `host:port` of at least one broker. */
  readonly brokers: readonly string[];
  /** Shown in the broker's logs and quotas. */
  readonly clientId: string;
  readonly log: Logger;
  /** Longest wait for one answer of the broker, in milliseconds; 30,000 when absent. */
  readonly requestTimeoutMs?: number;
  /** Opens the sockets; for a detour to brokers whose advertised address is not reachable from here. */
  readonly socketFactory?: (to: { host: string; port: number; onConnect: () => void }) => Socket;
}

export interface ProducerOptions extends KafkaOptions {
  /** zstd (level 1) when absent. */
  readonly compression?: 'zstd' | 'none';
}

export interface OutgoingRecord {
  readonly partition: number;
  readonly key?: Buffer | null;
  readonly value: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Epoch milliseconds; the time of sending when absent. */
  readonly timestamp?: number;
}

export interface Producer {
  /** Connects within 5 s or throws a transient `WEIR_CONNECT_FAILED`; the caller retries. Idempotent. */
  connect(): Promise<void>;
  /**
   * Writes records with acks=all. Resolves when every in-sync replica has them. At most one call may be under way
   * (a second one throws `WEIR_STATE`), so the order per partition is the order of the calls.
   *
   * Throws `WeirError`: transient (`WEIR_CONNECTION_LOST`, `WEIR_TIMEOUT`: some records may be written, send all
   * again), data (`WEIR_REJECTED`: the broker refuses the content, none or some of the other partitions are
   * written), fatal (`WEIR_UNAUTHORIZED`).
   */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface KafkaRecord {
  readonly offset: bigint;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Empty for a tombstone. */
  readonly value: Buffer;
  /** As UTF-8; a value that is not that as Latin-1, so that its bytes can be had back. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Where a partition stands when it is assigned. */
export interface Place extends PartitionOffsets {
  /** Next offset that the group has committed; null when it never did. */
  readonly committed: bigint | null;
}

export interface ConsumerHandler {
  /**
   * Called as soon as a partition is assigned, also when it has nothing to read; no batch comes before the answer.
   * Answers where to read from: an offset, or null for the committed group offset, else the earliest record.
   * A partition that stays with this member through a rebalance goes on without a call.
   */
  assigned(partition: number, place: Place): Promise<bigint | null>;
  /**
   * Records in offset order, none below the asked offset, each once per assignment. Resolves when the app can take
   * more of this partition; meanwhile it is paused, the others go on and the group session stays alive. Partitions
   * run concurrently, one call each. A rejection ends the consumer through `onFatal`.
   */
  batch(partition: number, records: readonly KafkaRecord[], highWatermark: bigint): Promise<void>;
  /**
   * `rebalance`: these partitions belong to someone else now; a running `batch` of theirs must end soon, because
   * the partition is not assigned here again before it has. `stop`: all running batches have ended and `commit`
   * still works, so this is the place to flush.
   */
  revoked(partitions: readonly number[], why: 'rebalance' | 'stop'): Promise<void>;
}

/** What a consumer tells its app; every kind is rare and worth a log line or a metric. */
export type ConsumerEvent =
  | { readonly kind: 'assigned'; readonly partitions: readonly number[]; readonly generation: number }
  | { readonly kind: 'disconnected'; readonly error: Error }
  | { readonly kind: 'reconnected' }
  /** No join, no heartbeat, no partition, or no fetch while records wait, for too long; the consumer starts anew. */
  | { readonly kind: 'stuck'; readonly silentMs: number }
  /**
   * The wanted offset is not in the log: retention removed it (reading goes on at the earliest record), or the
   * topic was made anew. `missing` counts the offsets that nobody can read any more (0 when unknown).
   */
  | {
      readonly kind: 'offset-out-of-range';
      readonly partition: number;
      readonly wanted: bigint;
      readonly start: bigint;
      readonly end: bigint;
      readonly missing: bigint;
    };

export interface ConsumerOptions extends KafkaOptions {
  readonly groupId: string;
  readonly topic: string;
  readonly sessionTimeoutMs: number;
  /**
   * Largest answer for one partition, in stored (compressed) bytes; 1 MiB when absent, and four times that for an
   * answer as a whole. Unpacked it is several times larger, all of it in memory at once. A larger record still comes.
   */
  readonly maxBytesPerPartition?: number;
  /**
   * Bytes (as stored, compressed) for which the broker holds an answer back, at most `maxWaitMs`; 64 KiB when absent.
   * Each fetch costs about 0.3 ms of CPU a partition, so small answers are dear: 80 a second took 28 % of a core.
   */
  readonly minBytes?: number;
  /** Milliseconds; 100 when absent, which costs 2 % of a core while nothing arrives. */
  readonly maxWaitMs?: number;
  readonly handler: ConsumerHandler;
  readonly onEvent?: (event: ConsumerEvent) => void;
  /** The consumer has ended for good (unknown error, or the handler threw): end the app. */
  readonly onFatal: (error: Error) => void;
}

export interface Consumer {
  /** Returns at once when the broker is away: the consumer keeps trying, with full jitter, until `stop`. */
  start(): Promise<void>;
  /** Waits for running `batch` calls, calls `revoked` for all partitions, leaves the group. Idempotent. */
  stop(): Promise<void>;
  /**
   * Commits next offsets to the group (for lag tools, or as the app's own place). Partitions that this member does
   * not own are left out; the others are returned. Throws `WeirError` (transient) when the broker does not take it,
   * so also when this member was put out of the group.
   */
  commit(offsets: ReadonlyMap<number, bigint>): Promise<readonly number[]>;
  /** Partitions of the current assignment; empty while disconnected. */
  readonly assigned: ReadonlySet<number>;
  /**
   * Member of the group by a recent heartbeat, and at least one partition is being read, or rightly none because the
   * group has more members than the topic has partitions.
   */
  readonly healthy: boolean;
  readonly lastError: Error | null;
}

export interface TopicDefinition {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface PartitionOffsets {
  readonly partition: number;
  /** First offset that can be read. */
  readonly start: bigint;
  /** Offset that the next record will get. */
  readonly end: bigint;
}

export interface PartitionLag extends PartitionOffsets {
  /** Next offset that the group will read; null when it never committed. */
  readonly committed: bigint | null;
  /** max(end − max(committed, start), 0); null when unknown. */
  readonly lag: bigint | null;
}

/** A consumer group as its coordinator describes it. */
export interface GroupState {
  readonly groupId: string;
  /** Stable, Empty, PreparingRebalance, CompletingRebalance, Dead; Dead too for a group of a newer protocol. */
  readonly state: string;
  /** Partitions that each member has, by topic; null where its protocol is not that of consumers. */
  readonly members: readonly {
    readonly clientId: string;
    readonly assigned: ReadonlyMap<string, readonly number[]> | null;
  }[];
}

export interface GroupOffset {
  readonly topic: string;
  readonly partition: number;
  readonly committed: bigint;
}

export interface Admin {
  /**
   * Creates what is missing (with the broker's default replication factor), raises partition counts, aligns `config`,
   * and waits until every partition can be read and written. Tries for 30 s while the broker answers with transient
   * errors, as it does for topics that are very new.
   */
  applyTopics(topics: readonly TopicDefinition[]): Promise<{ readonly created: readonly string[] }>;
  /** Deletes topics that exist; missing ones are fine. */
  deleteTopics(names: readonly string[]): Promise<void>;
  topicOffsets(topic: string): Promise<PartitionOffsets[]>;
  groupLag(groupId: string, topic: string): Promise<PartitionLag[]>;
  /** Names of all consumer groups. */
  listGroups(): Promise<string[]>;
  describeGroups(groupIds: readonly string[]): Promise<GroupState[]>;
  /** Everything that a group has committed. */
  groupOffsets(groupId: string): Promise<GroupOffset[]>;
  /** Members of a group; 0 when it does not exist. */
  groupSize(groupId: string): Promise<number>;
  /** Names of all topics. */
  listTopics(): Promise<string[]>;
  /** Values of these settings of a topic as the broker has them, its own defaults included. */
  topicConfig(topic: string, names: readonly string[]): Promise<ReadonlyMap<string, string>>;
  deleteGroups(groupIds: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Tells a topic from one made anew under its name. Every call throws `WeirError`. */
export interface TopicIds {
  /** Name → id, hexadecimal, of those that exist. */
  read(topics: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** A topic that can be read at any place, without a group. Every call throws `WeirError`. */
export interface LogReader {
  ends(): Promise<PartitionOffsets[]>;
  /** Offset of the first record whose timestamp is `ms` (epoch milliseconds) or later; the end when there is none. */
  offsetAt(partition: number, ms: number): Promise<bigint>;
  /**
   * Records from `from` on: at least one unless `from` is the end, else as many as fit into `maxBytes` as stored
   * (1 MiB when absent). Throws a data error (`WEIR_STATE`) when the log does not hold `from`.
   */
  read(partition: number, from: bigint, maxBytes?: number): Promise<KafkaRecord[]>;
  /** Idempotent. */
  close(): Promise<void>;
}
