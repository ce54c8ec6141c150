import type { DurableFile } from '@weir/flow';
import {
  checkFrame,
  type FrameKey,
  frameN,
  HEADER_BYTES,
  INCOMPLETE,
  isCriticalFrame,
  readFrame,
} from './frame.ts';
import type { SpoolRecord } from './types.ts';

const BLOCK_BYTES = 1 << 20;
const EMPTY = Buffer.alloc(0);

/** Bytes that are no good frame. `nextN`: the first good record behind them, absent at the end of the segment. */
export interface Damage {
  readonly from: number;
  readonly to: number;
  /** Highest n in front of the damage. */
  readonly lastN: number;
  readonly nextN?: number;
}

export interface ScanOptions {
  readonly key: FrameKey;
  /** Where in the file to begin; the start of a frame. */
  readonly from: number;
  /** Highest n in front of `from`. */
  readonly lastN: number;
  /** Records up to this n are passed over. */
  readonly skipTo: number;
  /** Others are passed over too, once their checksum is right: a flag or a length that flipped must not hide one. */
  readonly criticalOnly: boolean;
  readonly onDamage: (damage: Damage) => void;
}

/**
 * Reads one segment from disk, a block ahead. Damage never ends a scan: it goes on at the next frame whose magic,
 * checksum and n are right.
 */
export class SegmentScan {
  readonly #file: DurableFile;
  readonly #options: ScanOptions;
  readonly #magic = Buffer.alloc(4);
  #buffer: Buffer = EMPTY;
  /** Place of buffer[0] in the file. */
  #base: number;
  #at = 0;
  #seenN: number;
  #damagedFrom: number | null = null;
  #ahead: Promise<Buffer> | null = null;

  constructor(file: DurableFile, options: ScanOptions) {
    this.#file = file;
    this.#options = options;
    this.#base = options.from;
    this.#seenN = options.lastN;
    this.#magic.writeUInt32LE(options.key.magic);
  }
  /** Place in the file behind the last record that was returned or passed over. */
  get position(): number {
    return this.#base + this.#at;
  }
  /** Highest n seen. */
  get seenN(): number {
    return this.#seenN;
  }
  /**
   * Records of the next bytes in front of `end`: at most `maxBytes` of bodies, at least one record; none only when
   * `end` is reached.
   */
  async next(end: number, maxBytes: number): Promise<SpoolRecord[]> {
    const { key, skipTo, criticalOnly } = this.#options;
    const records: SpoolRecord[] = [];
    let bytes = 0;
    while (this.position < end) {
      const have = Math.min(this.#buffer.length, end - this.#base);
      const size = checkFrame(this.#buffer, this.#at, have, key);
      if (size > 0) {
        const n = frameN(this.#buffer, this.#at);
        if (n > this.#seenN) {
          const isWanted = n > skipTo && (!criticalOnly || isCriticalFrame(this.#buffer, this.#at));
          if (isWanted && records.length > 0 && bytes + size - HEADER_BYTES > maxBytes) return records;
          this.#settleDamage(n);
          this.#seenN = n;
          if (isWanted) {
            records.push(readFrame(this.#buffer, this.#at));
            bytes += size - HEADER_BYTES;
          }
          this.#at += size;
          continue;
        }
      } else if (size === INCOMPLETE && this.#base + have < end) {
        if (records.length > 0) return records;
        await this.#fill(end);
        continue;
      }
      this.#damagedFrom ??= this.position;
      const next = this.#buffer.indexOf(this.#magic, this.#at + 1);
      // A magic may begin in the last three bytes of the block and end in the next.
      this.#at = next >= 0 && next < have ? next : Math.max(this.#at + 1, have - 3);
    }
    this.#settleDamage(undefined);
    return records;
  }
  async close(): Promise<void> {
    await this.#ahead?.catch(() => EMPTY);
    await this.#file.close();
  }
  #settleDamage(nextN: number | undefined): void {
    if (this.#damagedFrom === null) return;
    const damage = { from: this.#damagedFrom, to: this.position, lastN: this.#seenN };
    this.#damagedFrom = null;
    this.#options.onDamage(nextN === undefined ? damage : { ...damage, nextN });
  }
  async #fill(end: number): Promise<void> {
    const from = this.#base + this.#buffer.length;
    const block = await (this.#ahead ?? this.#read(from, end));
    this.#ahead = null;
    if (block.length === 0) {
      // The file is shorter than what was made durable: the rest is damage.
      this.#damagedFrom ??= this.position;
      this.#base = end;
      this.#buffer = EMPTY;
      this.#at = 0;
      return;
    }
    const rest = this.#buffer.subarray(this.#at);
    this.#base += this.#at;
    this.#at = 0;
    this.#buffer = rest.length === 0 ? block : Buffer.concat([rest, block]);
    const next = from + block.length;
    if (next < end) {
      this.#ahead = this.#read(next, end);
      this.#ahead.catch(() => {}); // seen by the fill that awaits it
    }
  }
  async #read(from: number, end: number): Promise<Buffer> {
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, end - from));
    return block.subarray(0, await this.#file.read(block, from));
  }
}
