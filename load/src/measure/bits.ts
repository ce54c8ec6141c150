/** A set of small whole numbers: one bit each, and its memory grows with the largest. */
export class Bits {
  #bytes: Uint8Array;
  #count = 0;

  constructor(bytes: Uint8Array = new Uint8Array(8)) {
    this.#bytes = bytes;
    for (const byte of bytes) this.#count += ones(byte);
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  has(n: number): boolean {
    return ((this.#bytes[n >>> 3] ?? 0) & (1 << (n & 7))) !== 0;
  }

  /** False when it was there already. */
  add(n: number): boolean {
    const at = n >>> 3;
    if (at >= this.#bytes.length) {
      const grown = new Uint8Array(Math.max(at + 1, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    const bit = 1 << (n & 7);
    const byte = this.#bytes[at] as number;
    if ((byte & bit) !== 0) return false;
    this.#bytes[at] = byte | bit;
    this.#count++;
    return true;
  }

  /** How many of these are not in `other`. */
  missingFrom(other: Bits): number {
    let missing = 0;
    for (let i = 0; i < this.#bytes.length; i++)
      missing += ones((this.#bytes[i] as number) & ~(other.#bytes[i] ?? 0));
    return missing;
  }
}

const ones = (byte: number): number => {
  let count = 0;
  for (let rest = byte & 0xff; rest > 0; rest &= rest - 1) count++;
  return count;
};
