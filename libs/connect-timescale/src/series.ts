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

/** All series. */
export async function loadSeries(runner: Runner): Promise<StoredSeries[]> {
  const all: StoredSeries[] = [];
  for await (const page of seriesPages(runner)) for (const one of page) all.push(one);
  return all;
}

async function* seriesPages(runner: Runner): AsyncGenerator<StoredSeries[]> {
  for (let after = 0; ; ) {
    const page = await runner.query<StoredSeries & Record<string, unknown>>(
      'loading the series',
      `SELECT series_id AS id, site, device, metric, unit FROM ${TABLES.series}
        WHERE series_id > $1 ORDER BY series_id LIMIT ${PAGE_ROWS}`,
      [after],
    );
    yield page;
    if (page.length < PAGE_ROWS) return;
    after = page.at(-1)?.id ?? after;
  }
}

const PAGE_ROWS = 10_000;

interface SeriesWanted {
  readonly belongs: (device: string) => boolean;
  readonly found: StoredSeries[];
  readonly resolve: (series: StoredSeries[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads the series once for all partitions that wait for theirs, and in pieces: a dozen of them are claimed at the same
 * time, and each would hold them all.
 */
export class SeriesLoads {
  private waiting: SeriesWanted[] = [];
  private running = false;

  /** The series of these devices, none left out that was there at this call. */
  load(runner: Runner, belongs: (device: string) => boolean): Promise<StoredSeries[]> {
    const { promise, resolve, reject } = Promise.withResolvers<StoredSeries[]>();
    this.waiting.push({ belongs, found: [], resolve, reject });
    if (!this.running) void this.run(runner);
    return promise;
  }

  private async run(runner: Runner): Promise<void> {
    this.running = true;
    while (this.waiting.length > 0) {
      const all = this.waiting;
      this.waiting = [];
      try {
        for await (const page of seriesPages(runner)) {
          for (const { belongs, found } of all)
            for (const one of page) if (belongs(one.device)) found.push(one);
        }
        for (const { resolve, found } of all) resolve(found);
      } catch (error) {
        for (const { reject } of all) reject(error);
      }
    }
    this.running = false;
  }
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
