/**
 * A copy of a table of figures with room for `rows`; each new row is `fresh`. The figures of one device lie side by
 * side, so a message touches a few lines of the cache, and 100,000 devices are a few arrays and not as many objects.
 */
export function grown<T extends Float64Array | Float32Array | Int32Array>(
  table: T,
  rows: number,
  fresh: readonly number[],
): T {
  const width = fresh.length;
  const next = new (table.constructor as new (length: number) => T)(rows * width);
  next.set(table);
  if (fresh.some((value) => value !== 0)) {
    for (let at = table.length; at < next.length; at += width) next.set(fresh, at);
  }
  return next;
}
