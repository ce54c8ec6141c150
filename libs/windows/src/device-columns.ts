/** A column of figures per device; grows by doubling, so that 100,000 devices are a few arrays and not as many objects. */
type Column = Float64Array | Float32Array | Uint32Array | Uint8Array;

/** A copy of `column` with room for `length` values; new ones hold `fill`. */
export function grown<C extends Column>(column: C, length: number, fill = 0): C {
  const next = new (column.constructor as new (length: number) => C)(length);
  if (fill !== 0) next.fill(fill);
  next.set(column);
  return next;
}
