import { usage } from './settings.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** "90s", "5m" → milliseconds. */
export function durationMs(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null)
    throw usage(`${option} takes a duration with its unit, for example 90s or 5m; got "${text}".`);
  return Number(match[1]) * (UNITS[match[2] as string] as number);
}

/** RFC 3339 or epoch milliseconds → epoch milliseconds. */
export function timeOf(option: string, text: string): number {
  const ms = /^\d{10,16}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isFinite(ms)) return ms;
  throw usage(`${option} takes RFC 3339 such as 2026-01-31T12:00:00Z, or epoch milliseconds; got "${text}".`);
}

/** A number within bounds. */
export function numberWithin(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
    throw usage(`${option} takes a number from ${min} to ${max}; got "${text}".`);
  }
  return value;
}

export function wholeWithin(option: string, text: string, min: number, max: number): number {
  const value = numberWithin(option, text, min, max);
  if (!Number.isInteger(value)) throw usage(`${option} takes a whole number; got "${text}".`);
  return value;
}
