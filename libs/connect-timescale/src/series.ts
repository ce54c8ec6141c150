import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

export interface SeriesName {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly unit: string | undefined;
}
export interface StoredSeries {
  readonly id: number;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly unit: string | null;
}

/** The integer keys of series, in the order given; new ones are made. */
export async function allocateSeries(runner: Runner, names: readonly SeriesName[]): Promise<number[]> {
  const ids: number[] = [];
  for (let at = 0; at < names.length; at += PUT_ROWS)
    for (const id of await allocate(runner, names.slice(at, at + PUT_ROWS))) ids.push(id);
  return ids;
}

/** Series in one statement: the texts and rows of 100,000 would take tens of MiB. */
const PUT_ROWS = 10_000;

async function allocate(runner: Runner, names: readonly SeriesName[]): Promise<number[]> {
  const columns = [
    names.map((name) => name.site),
    names.map((name) => name.device),
    names.map((name) => name.metric),
    names.map((name) => name.unit ?? null),
  ];
  const doing = `allocating keys of ${names.length} series`;
  await runner.query(
    doing,
    `INSERT INTO ${TABLES.series} (site, device, metric, unit)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
     ON CONFLICT (site, device, metric) DO NOTHING`,
    columns,
  );
  const rows = await runner.query<{ id: number }>(
    doing,
    `SELECT s.series_id AS id
       FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n(site, device, metric, place)
       JOIN ${TABLES.series} s USING (site, device, metric) ORDER BY n.place`,
    columns.slice(0, 3),
  );
  return rows.map(({ id }) => id);
}

/** All series; the caller keeps those of its partitions. */
export function loadSeries(runner: Runner): Promise<StoredSeries[]> {
  return runner.query<StoredSeries & Record<string, unknown>>(
    'loading the series',
    `SELECT series_id AS id, site, device, metric, unit FROM ${TABLES.series} ORDER BY series_id`,
  );
}

/** Gives a scratch table of series these rows, keys as they are; those that it has stay. */
export async function putSeries(runner: Runner, series: readonly StoredSeries[]): Promise<void> {
  for (let at = 0; at < series.length; at += PUT_ROWS) {
    const rows = series.slice(at, at + PUT_ROWS);
    await runner.query(
      `copying ${rows.length} series`,
      `INSERT INTO ${TABLES.series} (series_id, site, device, metric, unit) OVERRIDING SYSTEM VALUE
       SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING`,
      [
        rows.map(({ id }) => id),
        rows.map(({ site }) => site),
        rows.map(({ device }) => device),
        rows.map(({ metric }) => metric),
        rows.map(({ unit }) => unit),
      ],
    );
  }
}
