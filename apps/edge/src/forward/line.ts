/** Fields of an envelope line without parsing it. They stand before the payload, and names hold no quotes. */

const AT = Buffer.from('"at":');
const DEVICE = Buffer.from('"device":"');
const QUOTE = 0x22;
const ZERO = 0x30;

/** Arrival time, epoch milliseconds; `fallback` when the line has none. */
export function lineAt(line: Buffer, fallback: number): number {
  const found = line.indexOf(AT);
  if (found < 0) return fallback;
  let at = 0;
  for (let i = found + AT.length; ; i++) {
    const digit = (line[i] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) return at;
    at = at * 10 + digit;
  }
}

export function lineDevice(line: Buffer): Buffer | null {
  const found = line.indexOf(DEVICE);
  if (found < 0) return null;
  const start = found + DEVICE.length;
  return line.subarray(start, line.indexOf(QUOTE, start));
}
