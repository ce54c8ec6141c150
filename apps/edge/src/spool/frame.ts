import { crc32 } from 'node:zlib';
import type { RecordKind, SpoolEntry, SpoolRecord } from './types.ts';

/**
 * A record on disk, little-endian:
 *
 *  0  u32 magic            4  u32 CRC-32 of everything from byte 8, seeded with the salt
 *  8  u32 body length     12  u48 n          18  u16 partition
 * 20  u32 count           24  u48 append time, epoch ms
 * 30  u8  kind            31  u8  critical   32  body
 *
 * Magic and salt are random for each spool and never leave it, so no payload can hold bytes that pass for a frame
 * when a reader looks for the next good one behind damage.
 */
export const HEADER_BYTES = 32;
/** Larger lengths are taken for damage. */
export const MAX_BODY_BYTES = 16 << 20;

export interface FrameKey {
  readonly magic: number;
  readonly salt: number;
}

const KINDS: readonly RecordKind[] = ['reading', 'dead-letter', 'event'];
const TWO_32 = 2 ** 32;

/** Writes one frame and returns its size; `target` must have room for it. `now` is asked when the body is written. */
export function writeFrame(
  target: Buffer,
  offset: number,
  key: FrameKey,
  n: number,
  now: () => number,
  entry: SpoolEntry,
): number {
  const { body } = entry;
  const end = offset + HEADER_BYTES + body.length;
  // first the body: what it stamps is never newer than the time of the append
  body.copy(target, offset + HEADER_BYTES);
  const at = now();
  target.writeUInt32LE(key.magic, offset);
  target.writeUInt32LE(body.length, offset + 8);
  target.writeUInt32LE(n >>> 0, offset + 12);
  target.writeUInt16LE(Math.floor(n / TWO_32), offset + 16);
  target.writeUInt16LE(entry.partition, offset + 18);
  target.writeUInt32LE(entry.count, offset + 20);
  target.writeUInt32LE(at % TWO_32, offset + 24);
  target.writeUInt16LE(Math.floor(at / TWO_32), offset + 28);
  target[offset + 30] = entry.kind === 'reading' ? 0 : KINDS.indexOf(entry.kind);
  target[offset + 31] = entry.critical ? 1 : 0;
  target.writeUInt32LE(crc32(target.subarray(offset + 8, end), key.salt), offset + 4);
  return end - offset;
}

/** `checkFrame`: the bytes up to `end` may be the start of a good frame. */
export const INCOMPLETE = 0;
/** `checkFrame`: no good frame begins here. */
export const DAMAGED = -1;

/** Size of the good frame at `offset`, or INCOMPLETE, or DAMAGED. */
export function checkFrame(buffer: Buffer, offset: number, end: number, key: FrameKey): number {
  if (end - offset < HEADER_BYTES) return INCOMPLETE;
  if (buffer.readUInt32LE(offset) !== key.magic) return DAMAGED;
  const length = buffer.readUInt32LE(offset + 8);
  if (length > MAX_BODY_BYTES || (buffer[offset + 30] as number) >= KINDS.length) return DAMAGED;
  const frameEnd = offset + HEADER_BYTES + length;
  if (frameEnd > end) return INCOMPLETE;
  const sum = crc32(buffer.subarray(offset + 8, frameEnd), key.salt);
  return sum === buffer.readUInt32LE(offset + 4) ? frameEnd - offset : DAMAGED;
}

/** Size of a frame that is known to be good. */
export function frameSize(buffer: Buffer, offset: number): number {
  return HEADER_BYTES + buffer.readUInt32LE(offset + 8);
}
export function frameN(buffer: Buffer, offset: number): number {
  return buffer.readUInt16LE(offset + 16) * TWO_32 + buffer.readUInt32LE(offset + 12);
}
/** Whether the good frame at `offset` holds a critical record. */
export function isCriticalFrame(buffer: Buffer, offset: number): boolean {
  return buffer[offset + 31] === 1;
}
/** The record of a good frame; its body is a view into `buffer`. */
export function readFrame(buffer: Buffer, offset: number): SpoolRecord {
  return {
    n: frameN(buffer, offset),
    at: buffer.readUInt16LE(offset + 28) * TWO_32 + buffer.readUInt32LE(offset + 24),
    kind: KINDS[buffer[offset + 30] as number] as RecordKind,
    critical: isCriticalFrame(buffer, offset),
    partition: buffer.readUInt16LE(offset + 18),
    count: buffer.readUInt32LE(offset + 20),
    body: buffer.subarray(offset + HEADER_BYTES, offset + frameSize(buffer, offset)),
  };
}
