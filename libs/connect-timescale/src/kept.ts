import { LEVELS, TABLES } from '@weir/topology';

/**
 * SQL of the newest pane of a series, one row or none, wherever it lies: the pane of a silent device outlives the
 * retention of its level in `windows_kept`. A row of the level's own table comes first.
 * @param columns of both tables, with `ts`
 * @param seriesId expression of the enclosing query
 */
export function newestPane(columns: string, seriesId: string): string {
  const one = (table: string, own: number, where: string): string =>
    `(SELECT ${columns}, ${own} AS own FROM ${table} WHERE series_id = ${seriesId} ${where} ORDER BY ts DESC LIMIT 1)`;
  const either = `${one(LEVELS[0].table, 1, '')} UNION ALL ${one(TABLES.windowsKept, 0, 'AND level = 0')}`;
  return `SELECT ${columns} FROM (${either}) u ORDER BY ts DESC, own DESC LIMIT 1`;
}

/** SQL of the rows of one level for which `where` holds, kept ones too. */
export function keptToo(level: number, columns: string, where: string): string {
  const { table } = LEVELS[level] as (typeof LEVELS)[number];
  return `SELECT ${columns} FROM ${table} t WHERE ${where}
    UNION ALL SELECT ${columns} FROM ${TABLES.windowsKept} t WHERE level = ${level} AND ${where}
      AND NOT EXISTS (SELECT FROM ${table} o WHERE o.series_id = t.series_id AND o.ts = t.ts)`;
}
