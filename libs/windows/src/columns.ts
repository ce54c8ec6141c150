type Column = Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/**
 * A copy of a column with room for `length` numbers and some more. A quarter more and not twice as many: 100,000 series
 * in columns that are half empty would take 100 MiB for nothing.
 */
export function grown<T extends Column>(column: T, length: number): T {
  const room = Math.max(length, Math.ceil(column.length * 1.25));
  const next = new (column.constructor as new (length: number) => T)(room);
  next.set(column);
  return next;
}
