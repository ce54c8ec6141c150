const ZERO = 0x30;
const NINE_DIGITS = 1e9;
const FIRST_BYTES = 1_024;

/** Collects text, without making strings of its parts. */
export class ByteWriter {
  #target: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;

  /** Everything so far; a view. */
  get bytes(): Buffer {
    return this.#target.subarray(0, this.#at);
  }

  text(text: string): void {
    const start = this.#at;
    this.#ensure(text.length * 3); // UTF-8 has up to three bytes for a unit of UTF-16
    const target = this.#target;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) {
        this.#at = start + target.write(text, start, 'utf8');
        return;
      }
      target[start + i] = unit;
    }
    this.#at = start + text.length;
  }

  /** The digits of a whole number from 0 to 2^53 - 1. */
  whole(value: number): void {
    this.#ensure(16);
    this.#at = writeWhole(this.#target, this.#at, value);
  }

  #ensure(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#target.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#target.length));
    this.#target.copy(larger, 0, 0, this.#at);
    this.#target = larger;
  }
}

/** Of a whole number from 0 to 2^53 - 1. */
export function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}

/** Writes the digits of a whole number from 0 to 2^53 - 1; returns where they end. */
export function writeWhole(target: Uint8Array, start: number, value: number): number {
  if (value < NINE_DIGITS) return writeDigits(target, start, value, digitsOf(value));
  const high = Math.floor(value / NINE_DIGITS);
  // Two halves of integers: a chain of float operations takes twice the time.
  return writeDigits(target, writeWhole(target, start, high), value - high * NINE_DIGITS, 9);
}

function writeDigits(target: Uint8Array, start: number, value: number, digits: number): number {
  let rest = value | 0;
  for (let i = start + digits - 1; i >= start; i--) {
    const tenth = (rest / 10) | 0;
    target[i] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return start + digits;
}
