import type { DeadLetterSelection } from '@weir/api';
import type { Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import type { Letter } from './letter.ts';
import { parameters, whereOf } from './select.ts';

export interface FacetValue {
  readonly value: string;
  readonly count: number;
}

/** Letters that failed alike. */
export interface LetterGroup {
  readonly fingerprint: string;
  readonly reason: Letter['reason'];
  readonly stage: string;
  readonly errorClass: string;
  /** What the newest one says. */
  readonly example: string;
  readonly count: number;
  readonly devices: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
}

/** Columns of one facet each. */
const FACETS = {
  reason: 'reason',
  stage: 'stage',
  status: 'status',
  originSystem: 'origin_system',
  site: 'site',
  device: 'device',
  replayCount: 'replay_count',
  age: 'age',
} as const;
type FacetName = keyof typeof FACETS;

/** Counts of a selection by what people choose by; the most frequent first, at most 50 of each. */
export interface Facets extends Readonly<Record<FacetName, readonly FacetValue[]>> {
  readonly total: number;
  readonly bytes: number;
  readonly oldestAt: Date | null;
  readonly newestAt: Date | null;
  readonly groups: readonly LetterGroup[];
}

const VALUES = 50;
/** Upper bounds in seconds, and the names of the classes of age. */
const AGES = [
  [3_600, '1h'],
  [86_400, '1d'],
  [604_800, '7d'],
  [2_592_000, '30d'],
] as const;
const AGE = `CASE ${AGES.map(([seconds, name]) => `WHEN now() - l.last_failed_at < interval '${seconds} s' THEN '${name}'`).join(' ')} ELSE 'older' END`;

const COLUMNS = Object.values(FACETS);
const facetOf = (then: (column: string) => string): string =>
  `CASE ${COLUMNS.map((column) => `WHEN grouping(${column}) = 0 THEN ${then(column)}`).join(' ')} END`;

interface Row extends Record<string, unknown> {
  /** Null: all of them. */
  readonly facet: string | null;
  readonly value: string;
  readonly letters: string;
  readonly bytes: string;
  readonly oldest: Date | null;
  readonly newest: Date | null;
}

/** Reads the letters that fit twice. Measured over 100,000: see the README. */
export async function readFacets(runner: Runner, selection: DeadLetterSelection): Promise<Facets> {
  const { values, parameter } = parameters();
  const rows = await runner.query<Row>(
    'counting dead letters by facet',
    `WITH chosen AS (
       SELECT l.reason, l.stage, l.status, l.origin_system, l.site, l.device, l.replay_count, ${AGE} AS age,
              l.length, l.last_failed_at
         FROM ${TABLES.deadLetters} l WHERE ${whereOf(selection, parameter)}),
     counted AS (
       SELECT ${facetOf((column) => `'${column}'`)} AS facet, ${facetOf((column) => `${column}::text`)} AS value,
              count(*) AS letters, sum(length) AS bytes, min(last_failed_at) AS oldest, max(last_failed_at) AS newest
         FROM chosen GROUP BY GROUPING SETS ((), ${COLUMNS.map((column) => `(${column})`).join(', ')}))
     SELECT facet, value, letters, bytes, oldest, newest FROM (
       SELECT counted.*, row_number() OVER (PARTITION BY facet ORDER BY letters DESC, value) AS rank FROM counted) ranked
      WHERE rank <= ${parameter(VALUES)} ORDER BY letters DESC, value`,
    values,
  );
  const whole = rows.find(({ facet }) => facet === null);
  const found = Object.fromEntries(
    Object.entries(FACETS).map(([name, column]) => [
      name,
      rows
        .filter(({ facet, value }) => facet === column && value !== '')
        .map(({ value, letters }): FacetValue => ({ value, count: Number(letters) })),
    ]),
  ) as Record<FacetName, FacetValue[]>;
  return {
    total: Number(whole?.letters ?? 0),
    bytes: Number(whole?.bytes ?? 0),
    oldestAt: whole?.oldest ?? null,
    newestAt: whole?.newest ?? null,
    ...found,
    groups: await readGroups(runner, selection),
  };
}

async function readGroups(runner: Runner, selection: DeadLetterSelection): Promise<LetterGroup[]> {
  const { values, parameter } = parameters();
  const rows = await runner.query<
    Omit<LetterGroup, 'count' | 'devices'> & Record<'count' | 'devices', string>
  >(
    'grouping dead letters by what went wrong',
    // One row a device first: the devices of a group are then a count, and need no sorting.
    `WITH each AS (
       SELECT l.fingerprint, count(*) AS letters, max(l.seq) AS newest, min(l.last_failed_at) AS first,
              max(l.last_failed_at) AS last, l.device <> '' AS named
         FROM ${TABLES.deadLetters} l WHERE ${whereOf(selection, parameter)}
        GROUP BY l.fingerprint, l.site, l.device),
     groups AS (
       SELECT fingerprint, sum(letters) AS count, count(*) FILTER (WHERE named) AS devices, max(newest) AS newest,
              min(first) AS first, max(last) AS last
         FROM each GROUP BY fingerprint ORDER BY count DESC, fingerprint LIMIT ${parameter(VALUES)})
     SELECT g.fingerprint, l.reason, l.stage, l.error_class AS "errorClass", l.error_message AS example, g.count,
            g.devices, g.first AS "firstAt", g.last AS "lastAt"
       FROM groups g JOIN ${TABLES.deadLetters} l ON l.seq = g.newest ORDER BY g.count DESC, g.fingerprint`,
    values,
  );
  return rows.map((row) => ({ ...row, count: Number(row.count), devices: Number(row.devices) }));
}
