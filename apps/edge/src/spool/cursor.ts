import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { DurableFs } from '@weir/flow';
import { readWhole, replaceFile } from './files.ts';
import { DESTINATIONS, type Destination, type Note } from './types.ts';

/** For each destination the n up to which everything has arrived; 0: nothing yet. */
export type Cursors = Record<Destination, number>;

/** Readings that the policy dropped up to a position, in all. */
export interface Drop {
  readonly n: number;
  readonly total: number;
}

/** What is saved with the cursors. A file of version 0.1 has nothing but those of `kafka` and `rabbitmq`. */
export interface Saved extends Cursors {
  /** Readings and refused messages that were durable. */
  counted?: number;
  notes?: Partial<Record<Destination, Note>>;
  drops?: Partial<Record<Destination, readonly Drop[]>>;
}

interface Content {
  readonly spool: string;
  readonly cursors: Partial<Saved> & Pick<Saved, typeof LANE_BEFORE>;
  readonly crc: number;
}

const FILE = 'cursors.json';
const LANE_BEFORE = 'rabbitmq';
export const AT_THE_BEGINNING: Cursors = { kafka: 0, rabbitmq: 0, critical: 0 };
const sum = (text: string): number => crc32(text);

/**
 * The cursors in a small file of their own, replaced as a whole. An old cursor is harmless: what it makes the
 * forwarder send again is recognised downstream by its n. A cursor too far would be a loss, hence the checksum.
 */
export class CursorFile {
  readonly #fs: DurableFs;
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();
  readonly #spoolId: string;
  #saved = '';

  constructor(fs: DurableFs, dir: string, spoolId: string) {
    this.#fs = fs;
    this.#path = join(dir, FILE);
    this.#spoolId = spoolId;
  }
  get path(): string {
    return this.#path;
  }
  /** null: there is a file, but it is damaged. A file of another spool, whose segments are gone, says nothing. */
  async load(): Promise<Saved | null> {
    const start: Saved = { ...AT_THE_BEGINNING };
    const content = await readWhole(this.#fs, this.#path);
    if (content === undefined) return start;
    try {
      const { spool, cursors, crc } = JSON.parse(content.toString('utf8')) as Content;
      if (sum(spool + JSON.stringify(cursors)) !== crc) return null;
      if (spool !== this.#spoolId) return start;
      for (const name of DESTINATIONS) {
        // One lane to RabbitMQ had everything before there was a second one.
        const n = cursors[name] ?? cursors[LANE_BEFORE];
        if (Number.isSafeInteger(n) && n >= 0) start[name] = n;
      }
      return { ...cursors, ...start };
    } catch {
      return null;
    }
  }
  /** Saves run one after another; unchanged cursors are not written. */
  save(cursors: Saved): Promise<void> {
    const text = JSON.stringify(cursors);
    this.#writing = this.#writing.then(async () => {
      if (text === this.#saved) return;
      const crc = sum(this.#spoolId + text);
      await replaceFile(
        this.#fs,
        this.#path,
        `{"v":1,"spool":"${this.#spoolId}","cursors":${text},"crc":${crc}}\n`,
      );
      this.#saved = text;
    });
    return this.#writing;
  }
}
