/**
 * Exact sums of 64-bit floats. A sum is kept as an expansion: floats that do not overlap and whose real sum is the
 * exact value. J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates",
 * Discrete & Computational Geometry 18, 1997 (Grow-Expansion, Two-Product); the compressed form and the rounding at
 * the end are those of Python's `math.fsum` (CPython, Modules/mathmodule.c).
 */

/** Larger terms are counted, not added: so no sum of 2^63 terms can overflow, and each can be taken back. */
const LIMIT = 2 ** 960;
/** Splits a float into two of 26 bits (Veltkamp). */
const SPLITTER = 2 ** 27 + 1;

/**
 * A sum that does not depend on the order of its terms, and from which each term can be taken back without a trace.
 * NaN when one of the terms is 2^960 (about 10^289) or more in magnitude, infinite, or NaN.
 */
export class ExactSum {
  /** The first `used` ones: not overlapping, none zero, in ascending order of magnitude. */
  private readonly parts: number[] = [];
  private used = 0;
  /** Terms at or above the limit. */
  private beyond = 0;

  add(term: number): void {
    if (Math.abs(term) < LIMIT) this.grow(term);
    else this.beyond++;
  }

  subtract(term: number): void {
    if (Math.abs(term) < LIMIT) this.grow(-term);
    else this.beyond--;
  }

  merge(other: ExactSum): void {
    for (let i = 0; i < other.used; i++) this.grow(other.parts[i] as number);
    this.beyond += other.beyond;
  }

  /** The exact value, rounded once to the nearest float, ties to even. */
  value(): number {
    return this.beyond === 0 ? rounded(this.parts, this.used) : Number.NaN;
  }

  /**
   * The one way to write this value: its nearest float, then the nearest to what remains, and so on; nothing for zero.
   * Infinity and the number of terms stand first when there are terms beyond the limit.
   */
  encode(): number[] {
    const out = this.beyond === 0 ? [] : [Number.POSITIVE_INFINITY, this.beyond];
    const rest = new ExactSum();
    rest.merge(this);
    while (rest.used > 0) {
      const next = rounded(rest.parts, rest.used);
      out.push(next);
      rest.grow(-next);
    }
    return out;
  }

  static decode(encoded: readonly number[]): ExactSum {
    const sum = new ExactSum();
    const skip = encoded[0] === Number.POSITIVE_INFINITY ? 2 : 0;
    if (skip > 0) sum.beyond = encoded[1] as number;
    for (let i = encoded.length - 1; i >= skip; i--) sum.grow(encoded[i] as number);
    return sum;
  }

  private grow(term: number): void {
    const { parts, used } = this;
    let n = 0;
    let x = term;
    for (let i = 0; i < used; i++) {
      const y = parts[i] as number;
      const high = x + y;
      const virtual = high - x;
      const low = x - (high - virtual) + (y - virtual);
      if (low !== 0) parts[n++] = low;
      x = high;
    }
    if (x !== 0) parts[n++] = x;
    this.used = n;
  }
}

function rounded(parts: readonly number[], used: number): number {
  let n = used;
  if (n === 0) return 0;
  let high = parts[--n] as number;
  let low = 0;
  while (n > 0) {
    const x = high;
    const y = parts[--n] as number;
    high = x + y;
    low = y - (high - x);
    if (low !== 0) break;
  }
  // Exactly between two floats so far: what lies below decides, not the tie rule.
  const below = n > 0 ? (parts[n - 1] as number) : 0;
  if ((low > 0 && below > 0) || (low < 0 && below < 0)) {
    const y = low * 2;
    const x = high + y;
    if (x - high === y) high = x;
  }
  return high;
}

/** The rounding error of the product a·b: `a * b + productError(a, b)` is exact unless it under- or overflows. */
function productError(a: number, b: number): number {
  const product = a * b;
  const splitA = SPLITTER * a;
  const highA = splitA - (splitA - a);
  const lowA = a - highA;
  const splitB = SPLITTER * b;
  const highB = splitB - (splitB - b);
  const lowB = b - highB;
  return lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB);
}

/** Larger sums are not squared: the square would pass the limit. */
const ROOT_LIMIT = 2 ** 480;

/** The last quotient: a row goes into several sums one after another, and dividing exactly costs more than adding. */
const last = { n: 1, sum: 0, quotient: 0, rest: 0 };

/**
 * Adds (`sign` 1) or takes back (-1) the second moment of n values, given their sum and their squared distances from
 * the mean: m2 + sum²/n. The quotient has 104 bits or more, and the same bits each time.
 */
export function addMoment(to: ExactSum, sign: 1 | -1, n: number, sum: number, m2: number): void {
  if (!(Math.abs(sum) < ROOT_LIMIT && Math.abs(m2) < LIMIT)) {
    if (sign === 1) to.add(Number.POSITIVE_INFINITY);
    else to.subtract(Number.POSITIVE_INFINITY);
    return;
  }
  if (last.n !== n || last.sum !== sum) {
    const square = sum * sum;
    const quotient = square / n;
    const rest = square - quotient * n - productError(quotient, n) + productError(sum, sum);
    last.n = n;
    last.sum = sum;
    last.quotient = quotient;
    last.rest = rest / n;
  }
  to.add(sign * m2);
  to.add(sign * last.quotient);
  to.add(sign * last.rest);
}

/**
 * Squared distances from the mean of `n` values, from their exact sum and their exact second moment (`addMoment`):
 * moment - sum²/n, with the subtraction exact, so that a mean far larger than the deviation costs nothing. Never
 * negative; NaN when it does not fit a 64-bit float.
 */
export function distances(n: number, sum: ExactSum, moment: ExactSum): number {
  if (Number.isNaN(sum.value()) || Number.isNaN(moment.value())) return Number.NaN;
  const total = new ExactSum();
  for (const part of moment.encode()) addProduct(total, part, n);
  const parts = sum.encode();
  for (const a of parts) for (const b of parts) addProduct(total, -a, b);
  return Math.max(0, total.value() / n);
}

function addProduct(to: ExactSum, a: number, b: number): void {
  to.add(a * b);
  to.add(productError(a, b));
}
