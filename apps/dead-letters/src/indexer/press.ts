import { performance } from 'node:perf_hooks';
import type { NewLetter } from '@weir/dead-letters';
import type { QueueMark } from './identities.ts';

/** A letter on its way into the index. */
export interface Incoming {
  readonly letter: NewLetter;
  /** Where RabbitMQ delivered it; null for a record of Kafka. */
  readonly mark: QueueMark | null;
}

export interface PressOptions {
  /** Letters, bytes of letters, and age of the first one in milliseconds, at which a batch is full. */
  readonly maxLetters: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** Resolves with the ids of all of them when they are in the index. A rejection goes to every letter of the batch. */
  readonly process: (batch: readonly Incoming[]) => Promise<readonly string[]>;
}

interface Waiting {
  readonly incoming: Incoming;
  readonly since: number;
  readonly resolve: (id: string) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers the letters of all inboxes into batches, done one after another in the order of arrival. Bounded by its
 * callers, which add no more until what they added is done.
 */
export class Press {
  readonly #options: PressOptions;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #running = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PressOptions) {
    this.#options = options;
  }

  get waitingLetters(): number {
    return this.#waiting.length;
  }
  get waitingBytes(): number {
    return this.#bytes;
  }

  /** Resolves with its id when the letter is in the index. */
  add(incoming: Incoming): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ incoming, since: performance.now(), resolve, reject });
      this.#bytes += incoming.letter.length;
      this.#look();
    });
  }

  /** Starts a batch when one is due, or sees to it that it starts in time. */
  #look(): void {
    const [oldest] = this.#waiting;
    if (this.#running || oldest === undefined) return;
    const { maxLetters, maxBytes, maxAgeMs } = this.#options;
    const dueMs = oldest.since + maxAgeMs - performance.now();
    if (dueMs <= 0 || this.#waiting.length >= maxLetters || this.#bytes >= maxBytes) {
      this.#running = true;
      // What one read of a socket brings arrives in one tick: let it become one batch.
      setImmediate(() => void this.#run());
    } else this.#timer ??= setTimeout(() => this.#tick(), dueMs);
  }

  #tick(): void {
    this.#timer = undefined;
    this.#look();
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#take();
    try {
      const ids = await this.#options.process(batch.map(({ incoming }) => incoming));
      for (const [index, { resolve }] of batch.entries()) resolve(ids[index] as string);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#running = false;
    this.#look();
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { incoming } of this.#waiting) {
      if (count >= this.#options.maxLetters || (count > 0 && bytes >= this.#options.maxBytes)) break;
      bytes += incoming.letter.length;
      count++;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count);
  }
}
