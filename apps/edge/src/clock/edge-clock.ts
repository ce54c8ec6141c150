import { join } from 'node:path';
import type { DurableFs } from '@weir/flow';
import { type HlcText, HybridClock } from '@weir/reading';
import { readWhole, replaceFile } from '../spool/files.ts';
import { nodeFs } from '../spool/node-fs.ts';
import { ArrivalClock } from './arrival-clock.ts';

const FILE = 'clock.json';
const EVERY_MS = 1_000;

export interface EdgeClockOptions {
  /** Folder of the clock's file, `edge.dir`. */
  readonly dir: string;
  /** A stamp further ahead than this is not taken from another edge, milliseconds. */
  readonly maxAheadMs: number;
  readonly arrivals?: ArrivalClock;
  readonly fs?: DurableFs;
  /** Told about every second: how far the wall clock is ahead, milliseconds, and whether the arrival clock jumped. */
  readonly onFollow?: (ahead: number, jumped: boolean) => void;
  /** The file cannot be written; it is tried again. */
  readonly onUnsaved?: (error: unknown) => void;
}

/**
 * The one clock of an edge: arrival times, and stamps that order the lines and events of all edges of a site. Stamps
 * grow over restarts: they go on above the newest record of the spool, or, when it holds none, above the clock's
 * file, which is at most a second old.
 */
export class EdgeClock {
  readonly #options: EdgeClockOptions;
  readonly #fs: DurableFs;
  readonly #arrivals: ArrivalClock;
  readonly #hybrid = new HybridClock();
  readonly #path: string;
  #timer: NodeJS.Timeout | undefined;
  #saved = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: EdgeClockOptions) {
    this.#options = options;
    this.#fs = options.fs ?? nodeFs;
    this.#arrivals = options.arrivals ?? new ArrivalClock();
    this.#path = join(options.dir, FILE);
  }

  /** With the stamps of its earlier life, as far as the file tells. */
  static async open(options: EdgeClockOptions): Promise<EdgeClock> {
    const clock = new EdgeClock(options);
    await clock.#fs.mkdir(options.dir);
    const content = await readWhole(clock.#fs, clock.#path);
    if (content !== undefined) clock.#hybrid.resume(readMs(content));
    return clock;
  }

  /** Begins to follow the wall clock and to save. `newest`: the newest append of the spool, 0 when it holds none. */
  async start(newest: number): Promise<void> {
    this.#hybrid.resume(newest);
    await this.#save();
    this.#timer = setInterval(() => {
      const { ahead, jumped } = this.#arrivals.follow();
      this.#options.onFollow?.(ahead, jumped);
      this.#saving = this.#saving.then(() => this.#save()).catch(this.#options.onUnsaved ?? (() => {}));
    }, EVERY_MS);
    this.#timer.unref();
  }

  /** Arrival time, whole epoch milliseconds. */
  now(): number {
    return this.#arrivals.now();
  }
  /** As `now`, but never behind a stamp that was given out. */
  latest(): number {
    return Math.max(this.#hybrid.ms, this.#arrivals.now());
  }
  /** The stamp of a line or event that arrived at `at`. */
  stamp(at: number): HlcText {
    return this.#hybrid.tick(at);
  }
  /** As `stamp`, written to the bytes of `target` from `offset` on. */
  tickTo(at: number, target: Uint8Array, offset: number): void {
    this.#hybrid.tickTo(at, target, offset);
  }
  /** Learns from another edge; false when its clock is too far ahead. */
  merge(stamp: unknown): boolean {
    return this.#hybrid.merge(stamp, this.#arrivals.now(), this.#options.maxAheadMs);
  }

  /** Saves the newest stamp. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saving;
    await this.#save();
  }

  async #save(): Promise<void> {
    const { ms } = this.#hybrid;
    if (ms === this.#saved) return;
    await replaceFile(this.#fs, this.#path, `${JSON.stringify({ v: 1, ms })}\n`);
    this.#saved = ms;
  }
}

/** 0 for a damaged file: the spool has the newer records then, or the wall clock is right. */
function readMs(content: Buffer): number {
  try {
    const { v, ms } = JSON.parse(content.toString('utf8')) as { v: unknown; ms: unknown };
    return v === 1 && Number.isSafeInteger(ms) ? (ms as number) : 0;
  } catch {
    return 0;
  }
}
