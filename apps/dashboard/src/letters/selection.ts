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

/** What the address chooses, as the API takes it in a query and in a body. */
export function chosen(): Partial<Record<Field, string>> {
  return Object.fromEntries(
    FIELDS.flatMap((field) => {
      const value = query.value.get(field);
      return value === null || value === '' ? [] : [[field, value]];
    }),
  );
}
