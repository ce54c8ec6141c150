import { z } from 'zod';

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1 << 10,
  MiB: 1 << 20,
  GiB: 1 << 30,
  TiB: 2 ** 40,
};

function quantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text.trim());
  const factor = match?.[2] === undefined ? undefined : units[match[2]];
  return match?.[1] === undefined || factor === undefined ? undefined : Math.round(Number(match[1]) * factor);
}

function quantitySchema(what: string, example: string, units: Readonly<Record<string, number>>) {
  return z.string().transform((text, context) => {
    const value = quantity(text, units);
    if (value !== undefined) return value;
    context.addIssue({
      code: 'custom',
      message: `expected a ${what} with its unit (${Object.keys(units).join(', ')}), for example "${example}"; got "${text}"`,
    });
    return z.NEVER;
  });
}

/** A duration such as "250ms" or "2s"; the parsed value is in milliseconds. */
export const duration = () => quantitySchema('duration', '250ms', DURATION_UNITS).meta({ type: 'duration' });
/** A duration, or "forever" (Infinity). */
export const lifetime = () =>
  z
    .union([z.literal('forever').transform(() => Number.POSITIVE_INFINITY), duration()], {
      error: `expected a duration with its unit (${Object.keys(DURATION_UNITS).join(', ')}), for example "30d", or "forever"`,
    })
    .meta({ type: 'duration, or forever' });
/** A size such as "64MiB"; the parsed value is in bytes. */
export const size = () => quantitySchema('size', '64MiB', SIZE_UNITS).meta({ type: 'size' });
/** A whole number, also from the text of an environment variable. */
export const whole = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
const split = (value: unknown): unknown =>
  typeof value === 'string'
    ? value
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean)
    : value;
/** A list, also from a comma-separated environment variable. */
export const list = () => z.preprocess(split, z.array(z.string().min(1)).min(1)).meta({ type: 'list' });
/** A list that may be empty. */
export const names = () => z.preprocess(split, z.array(z.string().min(1))).meta({ type: 'list' });
/** A text that is never printed. */
export const secret = () => z.string().meta({ secret: true });
/** true or false, also from the text of an environment variable. */
export const flag = () =>
  z
    .preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
    .meta({ type: 'flag' });
