import { HASH_SEED, hashByte } from './name-hash.ts';
import type { NameTable } from './name-table.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const UPPER_E = 0x45;
const LOWER_E = 0x65;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;

/** Digits whose number, and the power of ten that divides it, are exact in a float. */
const EXACT_DIGITS = 15;
const POWERS_OF_TEN = Array.from({ length: EXACT_DIGITS + 1 }, (_, i) => 10 ** i);
const MOST_DEPTH = 32;

export const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const TRUE = ascii('true');
const FALSE = ascii('false');
const NULL = ascii('null');

/**
 * Reads JSON where it stands, without making objects of it: each method takes a token at `at` and moves behind it, or
 * answers that it cannot. It never takes what JSON.parse would refuse or read otherwise; it may refuse what is unusual
 * (escapes, other white space than blanks). The bytes must end with a line break, or be followed by nothing.
 */
export class JsonScanner {
  protected bytes: Buffer = Buffer.alloc(0);
  protected at = 0;
  protected hash = 0;
  /** All bytes of the texts that were skipped, or-ed: above 0x7f when one of them was not ASCII. */
  protected seen = 0;

  protected takes(key: Uint8Array): boolean {
    const { bytes, at } = this;
    for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false;
    this.at = at + key.length;
    return true;
  }

  protected takesByte(byte: number): boolean {
    if (this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  protected blanks(): void {
    while (this.bytes[this.at] === SPACE) this.at++;
  }

  /** The rest of a text whose opening quote was taken, when it is ASCII without escapes and a name. */
  protected name(table: NameTable): string | undefined {
    const from = this.at;
    if (!this.hashes(HASH_SEED)) return undefined;
    return table.name(this.bytes, from, this.at - 1, this.hash);
  }

  /** Skips the rest of a text whose opening quote was taken, when it is ASCII without escapes; `hash` is its own then. */
  protected hashes(seed: number): boolean {
    const { bytes } = this;
    let hash = seed;
    let at = this.at;
    for (let byte = bytes[at] as number; byte !== QUOTE; byte = bytes[++at] as number) {
      if (!(byte >= SPACE && byte < 0x80) || byte === BACKSLASH) return false;
      hash = hashByte(hash, byte);
    }
    this.at = at + 1;
    this.hash = hash;
    return true;
  }

  /** Skips the rest of a text whose opening quote was taken. What is not ASCII says nothing of quotes. */
  protected skipsText(): boolean {
    const { bytes } = this;
    let { at, seen } = this;
    for (let byte = bytes[at] as number; byte !== QUOTE; byte = bytes[++at] as number) {
      if (!(byte >= SPACE) || byte === BACKSLASH) return false;
      seen |= byte;
    }
    this.at = at + 1;
    this.seen = seen;
    return true;
  }

  /** A whole number from 0 to 10^15 - 1; -1 when there is none. */
  protected whole(): number {
    const { bytes } = this;
    const from = this.at;
    let at = from;
    // Two halves of integers: a chain of float operations takes twice the time.
    let high = 0;
    let digit = (bytes[at] as number) - ZERO;
    for (; digit >= 0 && digit <= 9 && at - from < 8; digit = (bytes[++at] as number) - ZERO)
      high = high * 10 + digit;
    let low = 0;
    const middle = at;
    for (; digit >= 0 && digit <= 9 && at - middle < 8; digit = (bytes[++at] as number) - ZERO)
      low = low * 10 + digit;
    const length = at - from;
    if (length === 0 || length > EXACT_DIGITS || (length > 1 && bytes[from] === ZERO)) return -1;
    this.at = at;
    return at === middle ? high : high * (POWERS_OF_TEN[at - middle] as number) + low;
  }

  /**
   * A number, to the bit the one of JSON.parse; NaN when there is none. Up to 15 digits are a whole number and a power of ten,
   * both exact, so the division rounds once (Clinger, "How to read floating point numbers accurately", PLDI 1990).
   */
  protected decimal(): number {
    const { bytes } = this;
    const from = this.at;
    const isNegative = bytes[from] === MINUS;
    const first = isNegative ? from + 1 : from;
    let at = first;
    let digits = 0;
    let digit = (bytes[at] as number) - ZERO;
    for (; digit >= 0 && digit <= 9; digit = (bytes[++at] as number) - ZERO) digits = digits * 10 + digit;
    let length = at - first;
    if (length === 0 || (length > 1 && bytes[first] === ZERO)) return Number.NaN;
    let decimals = 0;
    if (bytes[at] === DOT) {
      const point = at++;
      digit = (bytes[at] as number) - ZERO;
      for (; digit >= 0 && digit <= 9; digit = (bytes[++at] as number) - ZERO) digits = digits * 10 + digit;
      decimals = at - point - 1;
      if (decimals === 0) return Number.NaN;
      length += decimals;
    }
    const behind = bytes[at];
    if (behind === LOWER_E || behind === UPPER_E) {
      at = this.exponent(at + 1);
      if (at < 0) return Number.NaN;
      length = Number.POSITIVE_INFINITY;
    }
    this.at = at;
    if (length > EXACT_DIGITS) return Number(bytes.toString('latin1', from, at));
    const value = decimals === 0 ? digits : digits / (POWERS_OF_TEN[decimals] as number);
    return isNegative ? -value : value;
  }

  /** Where the digits end; -1 when there are none. */
  private exponent(from: number): number {
    const { bytes } = this;
    const sign = bytes[from];
    const first = sign === PLUS || sign === MINUS ? from + 1 : from;
    let at = first;
    for (let byte = bytes[at] as number; byte >= ZERO && byte <= ZERO + 9; ) byte = bytes[++at] as number;
    return at === first ? -1 : at;
  }

  /** Skips any value, as far as it is JSON for certain. */
  protected skipsValue(depth = 0): boolean {
    if (this.takesByte(QUOTE)) return this.skipsText();
    if (depth < MOST_DEPTH && this.takesByte(OPEN_BRACE)) return this.skipsMembers(CLOSE_BRACE, depth);
    if (depth < MOST_DEPTH && this.takesByte(OPEN_BRACKET)) return this.skipsMembers(CLOSE_BRACKET, depth);
    return !Number.isNaN(this.decimal()) || this.takes(TRUE) || this.takes(FALSE) || this.takes(NULL);
  }

  private skipsMembers(close: number, depth: number): boolean {
    this.blanks();
    if (this.takesByte(close)) return true;
    for (;;) {
      if (close === CLOSE_BRACE && !this.skipsKey()) return false;
      if (!this.skipsValue(depth + 1)) return false;
      this.blanks();
      if (this.takesByte(close)) return true;
      if (!this.takesByte(COMMA)) return false;
      this.blanks();
    }
  }

  protected takesColon(): boolean {
    this.blanks();
    if (!this.takesByte(COLON)) return false;
    this.blanks();
    return true;
  }

  protected skipsKey(): boolean {
    return this.takesByte(QUOTE) && this.skipsText() && this.takesColon();
  }
}
