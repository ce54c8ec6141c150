import type { Runner } from '@weir/connect-timescale';
import { LEVELS, TABLES } from '@weir/topology';
import type { SentDevice } from '../open/send.ts';
import { deviceKey, type Register, type SinkReport, type Tally } from './tally.ts';

/** Index entry of a row: two keys, a pointer and its slot. */
const INDEX_BYTES = 32;

/** Bytes of the finest windows of these sites with their index, from the size of some of their rows. */
async function sizeOfWindows(database: Runner, sites: readonly string[]): Promise<number> {
  const [row] = await database.query<{ bytes: number | null; rows: number }>(
    'measuring the rows of windows',
    `SELECT (SELECT avg(pg_column_size(w)) FROM (SELECT w.* FROM ${LEVELS[0].table} w
               JOIN ${TABLES.series} USING (series_id) WHERE site = ANY($1) LIMIT 500) w)::float8 AS bytes,
            (SELECT count(*) FROM ${LEVELS[0].table} JOIN ${TABLES.series} USING (series_id)
              WHERE site = ANY($1))::float8 AS rows`,
    [sites],
  );
  return row === undefined ? 0 : ((row.bytes ?? 0) + INDEX_BYTES) * row.rows;
}

/** Values of each device in the finest windows, by its number. */
async function countWindows(
  database: Runner,
  register: Register,
  sites: readonly string[],
): Promise<Float64Array> {
  const counts = new Float64Array(register.size);
  const rows = await database.query<{ site: string; device: string; values: number }>(
    'counting the values in windows',
    `SELECT site, device, sum(count)::float8 AS values FROM ${LEVELS[0].table}
       JOIN ${TABLES.series} USING (series_id) WHERE site = ANY($1) GROUP BY site, device`,
    [sites],
  );
  for (const { site, device, values } of rows) {
    const id = register.idOf(deviceKey(site, device));
    if (id >= 0) counts[id] = values;
  }
  return counts;
}

/**
 * Compares the counts of the windows with what was acknowledged, device by device. Windows know no numbers, so a loss
 * and a duplicate of one device would hide each other; with what Kafka holds neither can.
 * @param kafka what the log holds, when it was read; `late` what was too late for its window
 */
export async function readWindows(
  database: Runner,
  register: Register,
  devices: readonly SentDevice[],
  metricsOf: (id: number) => readonly string[],
  known: { readonly kafka: Tally | undefined; readonly late: Tally },
): Promise<SinkReport> {
  const began = performance.now();
  const sites = [...new Set(devices.map(({ site }) => site))];
  const counts = await countWindows(database, register, sites);
  let found = 0;
  let lost = 0;
  let duplicates = 0;
  for (const [id, { sent, acknowledged }] of devices.entries()) {
    const values = counts[id] as number;
    const metrics = metricsOf(id).length;
    const late = known.late.countOf(id) * metrics;
    const least = Math.max(acknowledged.count, known.kafka?.countOf(id) ?? 0) * metrics - late;
    const most = (known.kafka?.countOf(id) ?? sent.count) * metrics;
    found += Math.min(values, most);
    lost += Math.max(0, least - values);
    duplicates += Math.max(0, values - most);
  }
  const bytes = await sizeOfWindows(database, sites);
  const seconds = (performance.now() - began) / 1000;
  return {
    unit: 'values',
    found,
    lost,
    duplicates,
    reordered: null,
    foreign: 0,
    incomplete: null,
    bytes,
    seconds,
  };
}
