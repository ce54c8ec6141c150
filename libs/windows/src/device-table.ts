import { type Column, resized } from './columns.ts';

/**
 * A table of figures with room for `rows`, in the place of this one, which is gone; each new row is `fresh`. The figures
 * of one device lie side by side, so a message touches a few lines of the cache, and 100,000 devices are a few arrays
 * and not as many objects.
 */
export function grown<T extends Column>(table: T, rows: number, fresh: readonly number[]): T {
  const width = fresh.length;
  const { length } = table;
  const next = resized(table, rows * width);
  if (fresh.some((value) => value !== 0)) {
    for (let at = length; at < next.length; at += width) next.set(fresh, at);
  }
  return next;
}
