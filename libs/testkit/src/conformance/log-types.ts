/** A connector to a partitioned log, as the suite needs it. All promises are those of the connector's own types. */
export interface LogUnderTest {
  /** A new topic with this many partitions; removed with the scope. */
  makeTopic(partitions: number): Promise<string>;
  openProducer(): LogProducer;
  openConsumer(options: LogConsumerOptions): LogConsumer;
  /** The committed next offset of each partition of a group; null when there is none. */
  committed(groupId: string, topic: string): Promise<ReadonlyMap<number, bigint | null>>;
  /** Cuts every open connection of consumers and producers to the broker. */
  cutConnections(): void;
  /** Session timeout in milliseconds that the suite's consumers use. */
  readonly sessionTimeoutMs: number;
}

export interface LogProducer {
  send(topic: string, records: readonly { partition: number; value: Buffer }[]): Promise<void>;
  close(): Promise<void>;
}

export interface LogRecord {
  readonly offset: bigint;
  readonly value: Buffer;
}

export interface LogHandler {
  assigned(partition: number): Promise<bigint | null>;
  batch(partition: number, records: readonly LogRecord[], highWatermark: bigint): Promise<void>;
  revoked(partitions: readonly number[], why: 'rebalance' | 'stop'): Promise<void>;
}

export interface LogConsumerOptions {
  readonly groupId: string;
  readonly topic: string;
  readonly handler: LogHandler;
  readonly onFatal: (error: Error) => void;
}

export interface LogConsumer {
  start(): Promise<void>;
  stop(): Promise<void>;
  commit(offsets: ReadonlyMap<number, bigint>): Promise<unknown>;
  readonly assigned: ReadonlySet<number>;
}
