import { query } from '../route.ts';

/** Parameters of the address that choose letters; the same names as in the API. */
export const FIELDS = [
  'reason',
  'stage',
  'site',
  'device',
  'fingerprint',
  'originSystem',
  'status',
  'from',
  'to',
  'replayedAtLeast',
  'replayedAtMost',
] as const;
export type Field = (typeof FIELDS)[number];

/** What the address chooses, as the API takes it in a query. */
export function chosen(): Partial<Record<Field, string>> {
  return Object.fromEntries(
    FIELDS.flatMap((field) => {
      const value = query.value.get(field);
      return value === null || value === '' ? [] : [[field, value]];
    }),
  );
}

const LISTS: ReadonlySet<Field> = new Set(['reason', 'stage', 'originSystem', 'status']);

/** The same as a body: lists are lists there, and counts are numbers. */
export function asBody(selection: Partial<Record<Field, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(selection).map(([field, value]) => [
      field,
      LISTS.has(field as Field) ? value.split(',') : field.startsWith('replayed') ? Number(value) : value,
    ]),
  );
}
