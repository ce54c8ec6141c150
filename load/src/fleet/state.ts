import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { WeirError } from '@weir/flow';

interface Saved {
  /** Device → first sequence number that was never given out. */
  readonly next: Record<string, number>;
  /** Device → position in its recording. */
  readonly positions: Record<string, number>;
}

/** Sequence numbers reserved ahead in one write: at 1 Hz one write of the fleet every five minutes. */
const LEASE = 600;

/**
 * What a fleet must not forget: one file for all devices. A number is reserved on disk before it is given out, so a
 * killed fleet skips some numbers and never repeats one; a clean end wastes none.
 */
export class FleetState {
  readonly file: string;
  readonly #next = new Map<string, number>();
  readonly #reserved = new Map<string, number>();
  readonly #positions = new Map<string, number>();
  writes = 0;

  /** @throws WeirError WEIR_STATE when the file is damaged: starting over would repeat numbers. */
  constructor(file: string) {
    this.file = file;
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return;
    }
    try {
      const saved = JSON.parse(text) as Saved;
      for (const [device, next] of Object.entries(saved.next)) this.#next.set(device, next);
      for (const [device, at] of Object.entries(saved.positions)) this.#positions.set(device, at);
    } catch (error) {
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `The fleet's state ${file} is damaged. Delete it to start over; sequence numbers then repeat, and readings that repeat a number and a time count as duplicates.`,
        error,
      );
    }
  }

  /** Names the devices of this run, so that one write reserves for all of them. */
  register(devices: readonly string[]): void {
    for (const device of devices) if (!this.#next.has(device)) this.#next.set(device, 1);
  }

  /** The next sequence number of a device, from 1. */
  nextSeq(device: string): number {
    const seq = this.#next.get(device) ?? 1;
    if (seq >= (this.#reserved.get(device) ?? 0)) this.#reserve(device, seq);
    this.#next.set(device, seq + 1);
    return seq;
  }

  position(device: string): number | undefined {
    return this.#positions.get(device);
  }
  setPosition(device: string, at: number): void {
    this.#positions.set(device, at);
  }

  /** Writes exact numbers: nothing is given out after this. */
  close(): void {
    this.#write(this.#next);
  }

  #reserve(device: string, seq: number): void {
    this.#next.set(device, seq);
    // All devices run at about the same pace, so one write renews the lease of every one.
    for (const [name, next] of this.#next) this.#reserved.set(name, next + LEASE);
    this.#write(this.#reserved);
  }

  #write(next: ReadonlyMap<string, number>): void {
    mkdirSync(dirname(this.file), { recursive: true });
    const saved: Saved = {
      next: Object.fromEntries(next),
      positions: Object.fromEntries(this.#positions),
    };
    const unfinished = `${this.file}.tmp`;
    const fd = openSync(unfinished, 'w');
    try {
      writeSync(fd, `${JSON.stringify(saved)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, this.file);
    this.writes++;
  }
}
