import type { Duplex } from 'node:stream';
import { TYPE } from './frame.ts';

const SMALL = 1_024;
const FIRST = 128;
const ACK_BYTES = 4;

/**
 * What goes out on one connection in one turn of the event loop, as few writes as possible: an acknowledgement
 * leaves aedes as three pieces of one and two bytes, and twenty of them usually leave together.
 */
export class Outbox {
  #scratch: Buffer | null = null;
  #used = 0;
  #parts: Buffer[] | null = null;
  #bytes = 0;
  // where in the outgoing frames we are
  #type = 0;
  #inHeader = false;
  #length = 0;
  #shift = 0;
  #body = 0;

  /** Bytes not yet handed to the transport. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a piece and returns bit flags of what began in it: see `SENT`. */
  add(piece: Buffer): number {
    this.#bytes += piece.length;
    if (piece.length > SMALL) {
      this.#seal();
      this.#parts ??= [];
      this.#parts.push(piece);
    } else {
      this.#copy(piece);
    }
    return this.#track(piece);
  }

  /** Takes PUBACKs of these packet ids; only between two packets. */
  acknowledge(ids: readonly number[]): void {
    const scratch = this.#room(ids.length * ACK_BYTES);
    let at = this.#used;
    for (const id of ids) {
      scratch[at] = TYPE.puback << 4;
      scratch[at + 1] = 2;
      scratch[at + 2] = id >> 8;
      scratch[at + 3] = id & 255;
      at += ACK_BYTES;
    }
    this.#bytes += at - this.#used;
    this.#used = at;
  }

  flush(transport: Duplex): void {
    if (this.#bytes === 0) return;
    const scratch = this.#scratch;
    if (this.#parts === null) {
      if (scratch !== null) transport.write(scratch.subarray(0, this.#used));
    } else {
      this.#seal();
      transport.cork();
      for (const part of this.#parts) transport.write(part);
      transport.uncork();
      this.#parts = null;
    }
    this.#scratch = null;
    this.#used = 0;
    this.#bytes = 0;
  }

  #seal(): void {
    if (this.#scratch === null || this.#used === 0) return;
    this.#parts ??= [];
    this.#parts.push(this.#scratch.subarray(0, this.#used));
    this.#scratch = null;
    this.#used = 0;
  }

  #copy(piece: Buffer): void {
    const scratch = this.#room(piece.length);
    for (let i = 0; i < piece.length; i++) scratch[this.#used + i] = piece[i] as number;
    this.#used += piece.length;
  }

  /** The scratch, with room for `bytes` more. */
  #room(bytes: number): Buffer {
    const needed = this.#used + bytes;
    const scratch = this.#scratch;
    if (scratch !== null && scratch.length >= needed) return scratch;
    const larger = Buffer.allocUnsafe(Math.max(FIRST, scratch === null ? 0 : scratch.length * 2, needed));
    if (scratch !== null) scratch.copy(larger, 0, 0, this.#used);
    this.#scratch = larger;
    return larger;
  }

  #track(piece: Buffer): number {
    let sent = 0;
    let at = 0;
    while (at < piece.length) {
      if (this.#body > 0) {
        const skip = Math.min(this.#body, piece.length - at);
        this.#body -= skip;
        at += skip;
      } else if (!this.#inHeader) {
        this.#type = (piece[at++] as number) >> 4;
        this.#inHeader = true;
        this.#length = 0;
        this.#shift = 0;
      } else {
        const digit = piece[at++] as number;
        this.#length += (digit & 127) << this.#shift;
        this.#shift += 7;
        if (digit > 127) continue;
        this.#inHeader = false;
        this.#body = this.#length;
        if (this.#type === TYPE.puback || this.#type === TYPE.pubrec) sent += SENT.answer;
        else if (this.#type === TYPE.connack) sent |= SENT.connack;
      }
    }
    return sent;
  }
}

/** `connack` is a bit; the rest of the number counts acknowledgements in steps of `answer`. */
export const SENT = { connack: 1, answer: 2 } as const;
