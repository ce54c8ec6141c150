import { LEVELS, TABLES } from '@weir/topology';
import type { RollupRow } from '@weir/windows';
import type { Runner } from './database.ts';
import { putRollups } from './rollups.ts';
import { PANE_COLUMNS, WINDOW_COLUMNS } from './rows.ts';

/** Rows of one level by series and start (epoch milliseconds). */
export interface RowKeys {
  readonly series: readonly number[];
  readonly starts: readonly number[];
}

export interface WindowRepair {
  /** 0.. */
  readonly level: number;
  readonly live: string;
  readonly scratch: string;
  /** Rows that must be as in the scratch schema. */
  readonly wrong: RowKeys;
  /** Rows that must not be. */
  readonly extra: RowKeys;
}

const BATCH = 10_000;

/** Makes single rows of a live table what they are in the scratch schema; `revision` tells that they were rewritten. */
export async function repairWindows(runner: Runner, repair: WindowRepair): Promise<void> {
  const { level, live, scratch, wrong, extra } = repair;
  const { name, table } = LEVELS[level] as (typeof LEVELS)[number];
  const doing = `repairing windows of level ${name}`;
  const columns = level === 0 ? PANE_COLUMNS : WINDOW_COLUMNS;
  const keys = 'unnest($1::int[], $2::float8[]) AS k(series_id, start)';
  const match = (alias: string): string =>
    `${alias}.series_id = k.series_id AND ${alias}.ts = to_timestamp(k.start / 1000)`;
  const sets = columns
    .split(', ')
    .filter((column) => column !== 'ts' && column !== 'series_id')
    .map((column) => `${column} = EXCLUDED.${column}`);
  await each(extra, (batch) =>
    runner.query(doing, `DELETE FROM ${live}.${table} w USING ${keys} WHERE ${match('w')}`, batch),
  );
  await each(wrong, (batch) =>
    runner.query(
      doing,
      `INSERT INTO ${live}.${table} AS w (${columns})
       SELECT ${columns
         .split(', ')
         .map((column) => `s.${column}`)
         .join(', ')} FROM ${keys} JOIN ${scratch}.${table} s ON ${match('s')}
       ON CONFLICT (series_id, ts) DO UPDATE SET ${sets.join(', ')}, revision = least(w.revision::int + 1, 32767)`,
      batch,
    ),
  );
}

/** A roll-up as it should be; without a row it should not be at all. */
export interface RollupRepair {
  readonly table: string;
  readonly partition: number;
  readonly definition: string;
  readonly groupedBy: string;
  readonly name: string;
  readonly metric: string;
  /** Null: it has no key yet. */
  readonly id: number | null;
  /** Epoch milliseconds. */
  readonly start: number;
  readonly row: RollupRow | null;
}

/** Makes single roll-ups what they should be. */
export async function repairRollups(runner: Runner, repairs: readonly RollupRepair[]): Promise<void> {
  const doing = 'repairing roll-ups';
  const made = new Map<string, number>();
  const keyOf = async (one: RollupRepair): Promise<number> => {
    if (one.id !== null) return one.id;
    const { definition, name, metric, partition, groupedBy } = one;
    const text = JSON.stringify([definition, name, metric, partition]);
    const known = made.get(text);
    if (known !== undefined) return known;
    const [row] = await runner.query<{ id: number }>(
      doing,
      `INSERT INTO ${TABLES.rollups} (definition, name, metric, partition, grouped_by) VALUES ($1, $2, $3, $4, $5)
       RETURNING rollup_id AS id`,
      [definition, name, metric, partition, groupedBy],
    );
    made.set(text, row?.id as number);
    return row?.id as number;
  };
  const rows = new Map<string, { id: number; row: RollupRow }[]>();
  for (const one of repairs) {
    const id = await keyOf(one);
    if (one.row === null) {
      const where = 'rollup_id = $1 AND ts = to_timestamp($2::float8 / 1000)';
      await runner.query(doing, `DELETE FROM ${one.table} WHERE ${where}`, [id, one.start]);
      continue;
    }
    const list = rows.get(one.table) ?? [];
    list.push({ id, row: one.row });
    rows.set(one.table, list);
  }
  for (const [table, list] of rows)
    for (let at = 0; at < list.length; at += BATCH)
      await putRollups(runner, table, list.slice(at, at + BATCH));
}

async function each(
  { series, starts }: RowKeys,
  work: (batch: [readonly number[], readonly number[]]) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < series.length; at += BATCH)
    await work([series.slice(at, at + BATCH), starts.slice(at, at + BATCH)]);
}
