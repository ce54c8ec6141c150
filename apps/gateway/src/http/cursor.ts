import { ApiProblem } from './problems.ts';

/** A cursor says where the next page begins; opaque to clients, so that it may change. */
export function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** The parts of a cursor of this API. Throws `bad-request` when it is not one with `length` parts. */
export function decodeCursor(cursor: string, length: number): readonly (string | number)[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    const fits =
      Array.isArray(parts) &&
      parts.length === length &&
      parts.every((part) => typeof part === 'string' || typeof part === 'number');
    if (fits) return parts as (string | number)[];
  } catch {
    // Falls through to the same answer as a cursor of another list.
  }
  throw new ApiProblem(
    'bad-request',
    'cursor: not a cursor of this list; leave it out to begin at the first page.',
  );
}
