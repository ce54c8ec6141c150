import { randomInt } from 'node:crypto';

/** FNV-1a over ASCII names, byte by byte, begun with `HASH_SEED`: another one in each process, so that nobody can choose names that collide. */
export const HASH_SEED = randomInt(2 ** 32) | 0;
export const hashByte = (hash: number, byte: number): number => Math.imul(hash ^ byte, 0x01000193);
export function hashText(hash: number, text: string): number {
  let mixed = hash;
  for (let i = 0; i < text.length; i++) mixed = hashByte(mixed, text.charCodeAt(i));
  return mixed;
}
/** The first slot of a name in a table. FNV's low bits alone are weak for names that count up. */
export const slotOf = (hash: number, mask: number): number => (hash ^ (hash >>> 15)) & mask;

/** Whether the bytes from..to are this text, which is ASCII then. */
export function isText(text: string, bytes: Uint8Array, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  // From the end: names of one fleet begin alike.
  for (let i = text.length - 1; i >= 0; i--) if (text.charCodeAt(i) !== bytes[from + i]) return false;
  return true;
}
