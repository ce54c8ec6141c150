export type Column =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>;

/**
 * A column with room for `length` numbers and some more, in the place of this one, which is gone with all its views. A
 * quarter more and not twice as many: 100,000 series in columns that are half empty would take 100 MiB for nothing.
 */
export function grown<T extends Column>(column: T, length: number): T {
  return resized(column, Math.max(length, Math.ceil(column.length * 1.25)));
}

/**
 * The column in `length` numbers of new memory; what is new is zero. The old memory is given back at once: the garbage
 * collector comes seldom for what lies outside its heap, and hundreds of columns that grow leave as much again.
 */
export function resized<T extends Column>(column: T, length: number): T {
  const next = new (column.constructor as new (length: number) => T)(length);
  next.set(column);
  column.buffer.transfer(0);
  return next;
}
