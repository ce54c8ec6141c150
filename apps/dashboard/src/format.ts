const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });
const fine = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 5 });

/** What is printed for a figure that is not known. */
export const UNKNOWN = '–';

/** A count: in full up to 99,999, then short (1.23M). */
export function count(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return UNKNOWN;
  return Math.abs(value) < 100_000 ? whole.format(value) : short.format(value);
}

/** A rate: one decimal below ten, so that a slow trickle is not shown as nothing. */
export function rate(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return UNKNOWN;
  if (value > 0 && value < 10) return value < 0.05 ? '<0.1' : String(Math.round(value * 10) / 10);
  return count(value);
}

/** A measured value with at most five significant digits. */
export function measure(value: number | null): string {
  return value === null || !Number.isFinite(value) ? UNKNOWN : fine.format(value);
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
export function bytes(value: number | null): string {
  if (value === null) return UNKNOWN;
  let size = value;
  let unit = 0;
  while (size >= 1_024 && unit < UNITS.length - 1) {
    size /= 1_024;
    unit++;
  }
  return `${size < 10 && unit > 0 ? size.toFixed(1) : whole.format(size)} ${UNITS[unit]}`;
}

/** A figure of the API with its unit. */
export function figure(value: number | null, unit: string): string {
  if (value === null) return UNKNOWN;
  if (unit === 'B') return bytes(value);
  if (unit === '%') return `${value > 0 && value < 1 ? '<1' : whole.format(value)} %`;
  return unit === '' ? count(value) : `${count(value)} ${unit}`;
}

/** How long ago, or how long: "8 s", "3 min", "2 h", "5 d". */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** As `span`, with milliseconds below a second. */
export const fineSpan = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : span(ms));

/** An offset with its sign: "+12 ms", "−10 min". */
export const signedSpan = (ms: number): string => `${ms < 0 ? '−' : '+'}${fineSpan(Math.abs(ms))}`;

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const timeOfDay = (ms: number): string => clock.format(ms);
export const moment = (ms: number): string => full.format(ms);
