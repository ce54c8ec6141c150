import type { DropReason, DurableFs, WeirError } from '@weir/flow';
import type { HopTime } from '@weir/observe';

/**
 * The ways out of the edge; each has a cursor of its own, so that one being away does not hold the others back.
 * `rabbitmq` and `critical` are two lanes to one broker: a queue that takes no normal readings holds the first alone.
 * Who reads for `critical` gets the records with critical readings; it passes over all others.
 */
export const DESTINATIONS = ['kafka', 'rabbitmq', 'critical'] as const;
export type Destination = (typeof DESTINATIONS)[number];

/** Where the ledger and the pressure of the pipeline show a destination: both lanes are one hop. */
export const HOP_OF = {
  kafka: 'forward-kafka',
  rabbitmq: 'forward-rabbitmq',
  critical: 'forward-rabbitmq',
} as const satisfies Record<Destination, string>;

export type RecordKind = 'reading' | 'dead-letter' | 'event';

/** Bytes of a record: a Buffer, or what writes them to where they are to stand. */
export interface RecordBytes {
  readonly length: number;
  copy(target: Buffer, start: number): void;
}

/** What the doors append. */
export interface SpoolEntry {
  readonly kind: RecordKind;
  readonly critical: boolean;
  /** Kafka partition, 0 to 65,535. */
  readonly partition: number;
  /** Readings inside; 0 for an event. */
  readonly count: number;
  /** Copied before `append` returns. A reading is one envelope line; the other kinds: see records.ts. */
  readonly body: RecordBytes;
}

/** What a forwarder reads; always durable. */
export interface SpoolRecord extends SpoolEntry {
  readonly body: Buffer;
  /** Position: strictly increasing, never given twice in the life of a spool. */
  readonly n: number;
  /** Time of the append, epoch milliseconds. */
  readonly at: number;
}

export interface CorruptBytes {
  readonly file: string;
  /** Byte in the file where the damage begins. */
  readonly position: number;
  /** Bytes that were skipped. */
  readonly bytes: number;
  /** Records that were in them, as far as the positions of their neighbours tell. */
  readonly records: number;
}

export interface DroppedRecords {
  readonly reason: DropReason;
  /** The destination that will not get them; null: none. */
  readonly destination: Destination | null;
  readonly records: number;
  readonly readings: number;
}

/** What the owner of a spool is told; none may throw. */
export interface SpoolEvents {
  /** The disk failed: no append is acknowledged any more, and the process must end without a drain. */
  readonly onFatal: (error: WeirError) => void;
  readonly onCorrupt?: (damage: CorruptBytes) => void;
  readonly onTornTail?: (tail: { file: string; position: number; bytes: number }) => void;
  readonly onDropped?: (dropped: DroppedRecords) => void;
  /** One write and fsync of `records`, in seconds. */
  readonly onGroup?: (group: { records: number; bytes: number; seconds: number }) => void;
}

export type WhenFull = 'block' | 'drop-oldest' | 'drop-newest' | 'prioritize';

export interface SpoolOptions extends SpoolEvents {
  readonly dir: string;
  /** Bound of all segment files together. */
  readonly maxBytes: number;
  /** Size at which a new segment begins; held to an eighth of `maxBytes`. */
  readonly segmentBytes: number;
  readonly whenFull: WhenFull;
  /** Bytes in memory: what waits for its fsync, and what a forwarder that is caught up reads. */
  readonly memoryBytes: number;
  readonly fs?: DurableFs;
  /** Books the time that writing and fsync take. */
  readonly time?: HopTime;
  /** Time of an append, epoch milliseconds. */
  readonly now?: () => number;
  /** Cursors are saved this often when they moved. */
  readonly saveMs?: number;
}

/** null: durable. An error: not durable, do not acknowledge. */
export type Done = (error: Error | null) => void;

/** `throttled`: the disk is slower than the senders; `blocked`: as many bytes wait as may. */
export type SpoolState = 'free' | 'throttled' | 'blocked';

/** What a destination keeps of its own with its cursor; JSON. */
export type Note = Readonly<Record<string, unknown>>;

export interface SpoolReader {
  /** What came with the newest commit that was saved before the spool was opened; null: nothing. */
  readonly note: Note | null;
  /** Of what the policy dropped before this reader came to it, the readings at or before `n`, in all. */
  droppedUpTo(n: number): number;
  /**
   * The next durable records, up to `maxBytes` of bodies (the last one may cross it); waits for one, not for more.
   * Empty when `signal` aborts. Bodies are views into a shared buffer: read, never write. One call at a time.
   */
  next(maxBytes: number, signal: AbortSignal): Promise<SpoolRecord[]>;
  /**
   * Everything up to `n` has arrived. Without `hold` it need not be read again; `note` is saved with it. Throws when
   * `n` was not read yet.
   */
  commit(n: number, note?: Note): void;
  /**
   * What is durable but not committed. `oldestAt`: append time of the first such record, null when unknown. Of the
   * critical lane: critical records, estimated by their share of each segment; a segment that an earlier process
   * wrote counts as a whole until it is passed.
   */
  readonly behind: { readonly records: number; readonly bytes: number; readonly oldestAt: number | null };
  /** Resolves when everything up to `n` has arrived or was passed over, or when `signal` aborts. */
  reached(n: number, signal: AbortSignal): Promise<void>;
  /** From now on what is committed stays in the spool, over restarts as well, until it is released. */
  hold(): void;
  /** What is committed but not released: records as in `behind`, never too few, and the bytes that the spool keeps. */
  readonly held: { readonly records: number; readonly bytes: number };
  /** Everything that is committed now, to be released later. */
  mark(): Mark;
  /** What `mark` stands for need not be read again. Does nothing when the reader was rewound after the mark. */
  release(mark: Mark): void;
  /** The next call of `next` begins behind what was released; everything else is read and committed again. */
  rewind(): void;
}

/** See `SpoolReader.mark`. */
export interface Mark {
  readonly n: number;
  readonly rewinds: number;
}

export interface SpoolStats {
  readonly usedBytes: number;
  readonly limitBytes: number;
  readonly segments: number;
  /** Bytes appended that wait for their fsync. */
  readonly pendingBytes: number;
  /** Bytes of recent records in memory. */
  readonly memoryBytes: number;
  readonly lastN: number;
}
