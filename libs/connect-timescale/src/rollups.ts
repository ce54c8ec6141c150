import { ROLLUP_LEVELS, TABLES } from '@weir/topology';
import {
  type Grouping,
  type PartitionState,
  Rollup,
  type RollupChange,
  RollupChanges,
  type RollupGroup,
  type RollupRow,
} from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Runner, Transaction } from './database.ts';
import { readExpiry } from './retention.ts';
import { epochMs } from './windows.ts';

export interface RollupOptions {
  readonly groupings: readonly Grouping[];
  /** Stored roll-ups that device rows were part of are gone, and not because they expired. */
  readonly onMissing?: (windows: number) => void;
}

/** What one partition's rows changed in its roll-ups. */
interface RollupHandout {
  readonly owner: PartitionRollups;
  readonly changes: readonly RollupChange[];
  /** Keys found or made in the last attempt; `owner` learns them when it is committed. */
  made: ReadonlyMap<RollupGroup, number>;
}

class PartitionRollups implements PartOfPartition<RollupHandout> {
  readonly partition: number;
  /** Definition → since, as they must stand in the database. */
  readonly scopes: ReadonlyMap<string, number>;
  readonly ids = new Map<RollupGroup, number>();
  /** The database does not have the scopes yet. */
  unscoped: boolean;
  /** Without groups nobody asks for rows, and for what they were. */
  readonly row?: RollupChanges['row'];
  private readonly changes: RollupChanges;

  constructor(
    partition: number,
    groupings: readonly Grouping[],
    stored: ReadonlyMap<string, number>,
    newest: number,
  ) {
    this.partition = partition;
    this.scopes = new Map(groupings.map(({ definition }) => [definition, stored.get(definition) ?? newest]));
    this.unscoped =
      stored.size !== this.scopes.size ||
      [...this.scopes.keys()].some((definition) => !stored.has(definition));
    const changes = new RollupChanges(
      groupings.map((grouping) => ({ grouping, since: this.scopes.get(grouping.definition) as number })),
    );
    if (groupings.length > 0) this.row = changes.row.bind(changes);
    this.changes = changes;
  }

  collect(): RollupHandout | null {
    const changes = this.changes.take();
    if (changes.length === 0 && !this.unscoped) return null;
    return { owner: this, changes, made: new Map() };
  }

  /** Readers must know at once from where on this partition is complete, also when nothing comes. */
  due(): boolean {
    return this.unscoped;
  }

  settled({ made }: RollupHandout): void {
    this.unscoped = false;
    for (const [group, id] of made) this.ids.set(group, id);
  }
}

/**
 * Roll-ups of each partition's device rows. A transaction reads the roll-ups that it changes, so nothing of them stays
 * in memory. A definition that a partition did not follow until now begins after its newest pane, because rows that
 * were written before are not in its sums; one that is no longer configured is forgotten, and would begin anew.
 */
export function rollupPart({
  groupings,
  onMissing,
}: RollupOptions): CommitPart<RollupHandout, PartitionRollups> {
  return {
    name: 'roll-ups',
    async open(runner: Runner, partition: number, state: PartitionState): Promise<PartitionRollups> {
      const rows = await runner.query<{ definition: string; since: number }>(
        `reading what partition ${partition} rolls up`,
        `SELECT definition, ${epochMs('since')} AS since
           FROM ${TABLES.rollupScopes} WHERE partition = $1`,
        [partition],
      );
      const stored = new Map(rows.map(({ definition, since }) => [definition, since]));
      return new PartitionRollups(partition, groupings, stored, state.newest);
    },
    async write(transaction: Transaction, handouts: readonly RollupHandout[]): Promise<void> {
      for (const { owner } of handouts) if (owner.unscoped) await writeScopes(transaction, owner);
      const ids = await findGroups(transaction, handouts);
      const expired = await readExpiry(transaction);
      let missing = 0;
      for (const [index, { table }] of ROLLUP_LEVELS.entries()) {
        const before = expired.get(table)?.getTime() ?? Number.NEGATIVE_INFINITY;
        const changes = handouts.flatMap((handout) =>
          handout.changes
            .filter(({ level, change }) => level === index + 1 && change.start >= before)
            .map(({ group, change }) => ({ id: ids.get(group) as number, change })),
        );
        if (changes.length > 0) missing += await writeLevel(transaction, table, changes);
      }
      if (missing > 0) onMissing?.(missing);
    },
  };
}

async function writeScopes(transaction: Transaction, { partition, scopes }: PartitionRollups): Promise<void> {
  const doing = `writing what partition ${partition} rolls up`;
  const definitions = [...scopes.keys()];
  await transaction.query(
    doing,
    `DELETE FROM ${TABLES.rollupScopes} WHERE partition = $1 AND NOT definition = ANY($2::text[])`,
    [partition, definitions],
  );
  await transaction.query(
    doing,
    `INSERT INTO ${TABLES.rollupScopes} (partition, definition, since)
     SELECT $1, definition, to_timestamp(since / 1000) FROM unnest($2::text[], $3::float8[]) AS s(definition, since)
     ON CONFLICT DO NOTHING`,
    [partition, definitions, [...scopes.values()]],
  );
}

/** Keys of the groups; a group belongs to one partition, so two owners never make the same one. */
async function findGroups(
  transaction: Transaction,
  handouts: readonly RollupHandout[],
): Promise<ReadonlyMap<RollupGroup, number>> {
  const ids = new Map<RollupGroup, number>();
  const fresh: { owner: PartitionRollups; group: RollupGroup }[] = [];
  for (const { owner, changes } of handouts) {
    for (const group of new Set(changes.map((one) => one.group))) {
      const known = owner.ids.get(group);
      if (known === undefined) fresh.push({ owner, group });
      else ids.set(group, known);
    }
  }
  if (fresh.length === 0) return ids;
  const doing = `allocating keys of ${fresh.length} roll-ups`;
  const names = [
    fresh.map(({ owner }) => owner.partition),
    fresh.map(({ group }) => group.grouping.definition),
    fresh.map(({ group }) => group.name),
    fresh.map(({ group }) => group.metric),
  ];
  const given = 'unnest($1::int[], $2::text[], $3::text[], $4::text[]';
  await transaction.query(
    doing,
    `INSERT INTO ${TABLES.rollups} (partition, definition, name, metric, grouped_by)
     SELECT n.* FROM ${given}, $5::text[]) AS n(partition, definition, name, metric, grouped_by)
      WHERE NOT EXISTS (SELECT FROM ${TABLES.rollups} r WHERE r.definition = n.definition AND r.name = n.name
        AND r.metric = n.metric AND r.partition = n.partition)`,
    [...names, fresh.map(({ group }) => group.grouping.by)],
  );
  const rows = await transaction.query<{ id: number }>(
    doing,
    `SELECT r.rollup_id AS id FROM ${given}) WITH ORDINALITY AS n(partition, definition, name, metric, place)
       JOIN ${TABLES.rollups} r USING (partition, definition, name, metric) ORDER BY n.place`,
    names,
  );
  fresh.forEach(({ group }, i) => {
    ids.set(group, (rows[i] as { id: number }).id);
  });
  for (const handout of handouts) {
    const own = fresh.filter(({ owner }) => owner === handout.owner);
    handout.made = new Map(own.map(({ group }) => [group, ids.get(group) as number]));
  }
  return ids;
}

interface KeyedChange {
  readonly id: number;
  readonly change: Rollup;
}

/** Puts changes on top of what is stored. Returns how many had nothing to stand on, and are left out. */
async function writeLevel(
  transaction: Transaction,
  table: string,
  changes: readonly KeyedChange[],
): Promise<number> {
  const stored = await loadRollups(transaction, table, changes);
  const rows: { id: number; row: RollupRow }[] = [];
  let missing = 0;
  for (const { id, change } of changes) {
    const row = stored.get(`${id} ${change.start}`);
    if (row !== undefined) {
      const whole = Rollup.decode(row);
      whole.merge(change);
      rows.push({ id, row: whole.encode() });
    } else if (change.rewrites) missing++;
    else rows.push({ id, row: change.encode() });
  }
  await putRollups(transaction, table, rows);
  return missing;
}

/** Writes whole roll-ups, in the place of what is stored. */
export async function putRollups(
  runner: Runner,
  table: string,
  rows: readonly { readonly id: number; readonly row: RollupRow }[],
): Promise<void> {
  if (rows.length === 0) return;
  const values = COLUMNS.map(({ value }) => rows.map(({ row }) => value(row)));
  const list = COLUMNS.map(({ name }) => name).join(', ');
  await runner.query(
    `writing ${rows.length} roll-ups into ${table}`,
    `INSERT INTO ${table} (rollup_id, ${list})
     SELECT id, ${COLUMNS.map(({ name, read }) => read?.(name) ?? name).join(', ')}
       FROM unnest($1::int[], ${COLUMNS.map(({ type }, i) => `$${i + 2}::${type}[]`).join(', ')}) AS r(id, ${list})
     ON CONFLICT (rollup_id, ts) DO UPDATE
       SET ${COLUMNS.map(({ name }) => `${name} = EXCLUDED.${name}`).join(', ')}`,
    [rows.map(({ id }) => id), ...values],
  );
}

const time = (name: string): string => `to_timestamp(${name} / 1000)`;
const floats = (name: string): string => `${name}::float8[]`;
const array = (values: readonly number[]): string => `{${values.join(',')}}`;

/** How the columns of a roll-up travel to the server: one array for each. */
const COLUMNS: readonly {
  readonly name: string;
  readonly type: string;
  readonly value: (row: RollupRow) => unknown;
  readonly read?: (name: string) => string;
}[] = [
  { name: 'ts', type: 'float8', value: (row) => row.start, read: time },
  { name: 'first_ts', type: 'float8', value: (row) => row.firstTs, read: time },
  { name: 'last_ts', type: 'float8', value: (row) => row.lastTs, read: time },
  { name: 'min', type: 'float8', value: (row) => row.min },
  { name: 'max', type: 'float8', value: (row) => row.max },
  { name: 'first', type: 'float8', value: (row) => row.first },
  { name: 'last', type: 'float8', value: (row) => row.last },
  { name: 'count', type: 'bigint', value: (row) => row.count },
  { name: 'devices', type: 'int', value: (row) => row.devices },
  // An array of arrays would arrive as one: these travel as texts.
  { name: 'sum', type: 'text', value: (row) => array(row.sum), read: floats },
  { name: 'moment', type: 'text', value: (row) => array(row.moment), read: floats },
  { name: 'first_device', type: 'text', value: (row) => row.firstDevice },
  { name: 'last_device', type: 'text', value: (row) => row.lastDevice },
  { name: 'sketch', type: 'bytea', value: (row) => row.sketch },
];

const STATE = `w.rollup_id AS id, ${epochMs('w.ts')} AS start, ${epochMs('w.first_ts')} AS "firstTs",
  ${epochMs('w.last_ts')} AS "lastTs",
  w.min, w.max, w.first, w.last, w.count::float8, w.devices, w.sum, w.moment,
  w.first_device AS "firstDevice", w.last_device AS "lastDevice", w.sketch`;

async function loadRollups(
  runner: Runner,
  table: string,
  wanted: readonly KeyedChange[],
): Promise<ReadonlyMap<string, RollupRow>> {
  const starts = wanted.map(({ change }) => change.start);
  // The outer bounds are constants to the planner's eye when it runs, so whole chunks are left out at the start.
  const rows = await runner.query<RollupRow & { id: number }>(
    `loading roll-ups from ${table}`,
    `SELECT ${STATE} FROM unnest($1::int[], $2::float8[]) AS s(id, start)
      CROSS JOIN LATERAL (SELECT * FROM ${table} t WHERE t.rollup_id = s.id AND t.ts = to_timestamp(s.start / 1000)
        AND t.ts >= to_timestamp($3::float8 / 1000) AND t.ts <= to_timestamp($4::float8 / 1000)) w`,
    [wanted.map(({ id }) => id), starts, Math.min(...starts), Math.max(...starts)],
  );
  return new Map(rows.map((row) => [`${row.id} ${row.start}`, row]));
}

/** A group that has roll-ups of a metric. */
export interface RollupSeries {
  readonly name: string;
  readonly groupedBy: string;
  readonly metric: string;
}

/** The groups of these definitions and their metrics, by name and metric. */
export function listRollups(
  runner: Runner,
  definitions: readonly string[],
  after: readonly [name: string, metric: string] | null,
  limit: number,
): Promise<RollupSeries[]> {
  return runner.query<RollupSeries & Record<string, unknown>>(
    'listing the roll-ups',
    `SELECT DISTINCT name, grouped_by AS "groupedBy", metric FROM ${TABLES.rollups}
      WHERE definition = ANY($1::text[]) AND ($2::text IS NULL OR (name, metric) > ($2, $3))
      ORDER BY name, metric LIMIT $4`,
    [definitions, after?.[0] ?? null, after?.[1] ?? null, limit],
  );
}

export interface RollupQuery {
  readonly definition: string;
  readonly group: string;
  readonly metric: string;
  readonly level: (typeof ROLLUP_LEVELS)[number];
  /** Inclusive. */
  readonly from: Date;
  /** Exclusive. */
  readonly to: Date;
  /** Most windows, oldest first. */
  readonly limit: number;
}

export interface RollupAnswer {
  /** Windows that start later are complete; epoch milliseconds, -Infinity: all. */
  readonly since: number;
  /** Oldest first. */
  readonly windows: readonly Rollup[];
}

/** The roll-ups of a group, the parts of all partitions merged; null when it has no roll-up of the metric. */
export async function readRollups(runner: Runner, query: RollupQuery): Promise<RollupAnswer | null> {
  const { definition, group, metric, level, from, to, limit } = query;
  const [known] = await runner.query<{ ids: number[] | null; since: number }>(
    `finding the roll-ups of ${group}`,
    `SELECT (SELECT array_agg(rollup_id) FROM ${TABLES.rollups}
              WHERE definition = $1 AND name = $2 AND metric = $3) AS ids,
            (SELECT ${epochMs("coalesce(max(since), '-infinity')")}
               FROM ${TABLES.rollupScopes} WHERE definition = $1) AS since`,
    [definition, group, metric],
  );
  if (known?.ids == null) return null;
  // Before `since` a partition has not added its rows, and what is expired goes partition by partition.
  const rows = await runner.query<RollupRow & { id: number }>(
    `reading roll-ups of ${group}`,
    `WITH starts AS (SELECT DISTINCT t.ts FROM ${level.table} t
         WHERE t.rollup_id = ANY($1::int[]) AND t.ts >= $2 AND t.ts < $3 AND t.ts > to_timestamp($5::float8 / 1000)
           AND t.ts >= coalesce((SELECT expired_before FROM ${TABLES.retention} WHERE table_name = $6), '-infinity')
         ORDER BY t.ts LIMIT $4)
     SELECT ${STATE} FROM ${level.table} w JOIN starts USING (ts)
      WHERE w.rollup_id = ANY($1::int[]) AND w.ts >= $2 AND w.ts < $3 ORDER BY w.ts`,
    [known.ids, from, to, limit, known.since, level.table],
  );
  const windows: Rollup[] = [];
  for (const row of rows) {
    const last = windows.at(-1);
    if (last !== undefined && last.start === row.start) last.merge(Rollup.decode(row));
    else windows.push(Rollup.decode(row));
  }
  return { since: known.since, windows };
}
