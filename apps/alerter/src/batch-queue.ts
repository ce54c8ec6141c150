/** Work that arrives one by one and is done in batches, one batch at a time, the urgent before anything else. */
export interface BatchQueue<T, R> {
  /** Resolves with the result of the batch that took the item. */
  add(item: T, urgent: boolean): Promise<R>;
  readonly waiting: number;
}

export interface BatchQueueOptions<T, R> {
  /** Sum of sizes at which a batch is full; one item may be larger. */
  readonly maxSize: number;
  readonly sizeOf: (item: T) => number;
  /**
   * When a batch takes longer than this, in milliseconds, the next ones have fewer items: it is what an urgent item may
   * have to wait for.
   */
  readonly targetMs?: number;
  /** One result for each item, in their order. A rejection is a bug and goes to every item of the batch. */
  readonly process: (items: readonly T[]) => Promise<readonly R[]>;
}

const FIRST_ITEMS = 16;

interface Entry<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/** Bounded by its callers: a consumer adds no more than its prefetch. While a batch runs, the next one fills. */
export function batchQueue<T, R>(options: BatchQueueOptions<T, R>): BatchQueue<T, R> {
  const urgent: Entry<T, R>[] = [];
  const normal: Entry<T, R>[] = [];
  const { targetMs = Number.POSITIVE_INFINITY } = options;
  let running = false;
  /** Items of a batch at most. */
  let most = FIRST_ITEMS;

  const take = (): Entry<T, R>[] => {
    const batch: Entry<T, R>[] = [];
    // Urgent items do not wait for others in their batch.
    const from = urgent.length > 0 ? urgent : normal;
    let size = 0;
    while (size < options.maxSize && batch.length < most) {
      const entry = from.shift();
      if (entry === undefined) break;
      batch.push(entry);
      size += options.sizeOf(entry.item);
    }
    return batch;
  };

  const run = async (): Promise<void> => {
    running = true;
    for (let batch = take(); batch.length > 0; batch = take()) {
      const began = performance.now();
      try {
        const results = await options.process(batch.map(({ item }) => item));
        for (const [index, { resolve }] of batch.entries()) resolve(results[index] as R);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      const took = performance.now() - began;
      most = took > targetMs ? Math.max(1, Math.floor((batch.length * targetMs) / took)) : most * 2;
    }
    running = false;
  };

  return {
    add: (item, isUrgent) =>
      new Promise<R>((resolve, reject) => {
        (isUrgent ? urgent : normal).push({ item, resolve, reject });
        // What one read of the socket brings arrives in one tick: let it become one batch.
        if (!running) {
          running = true;
          setImmediate(() => void run());
        }
      }),
    get waiting() {
      return urgent.length + normal.length;
    },
  };
}
