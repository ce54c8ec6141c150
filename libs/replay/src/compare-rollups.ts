import {
  type Column,
  compareKeys,
  epochMs,
  type TupleCursor,
  type Value,
  valuesOf,
} from '@weir/connect-timescale';
import { LEVELS, ROLLUP_LEVELS, TABLES } from '@weir/topology';
import { type Figures, type Grouping, LEVEL_MS, RollupChanges, type RollupRow, Sketch } from '@weir/windows';
import {
  bounds,
  type CompareOptions,
  columnsOf,
  type Difference,
  type DifferenceKind,
  differing,
  EXAMPLES,
  isRoundingOf,
  type LevelReport,
  noTally,
} from './compare-windows.ts';

const COLUMNS: readonly Column[] = [
  { name: 'ts', type: 'timestamptz' },
  { name: 'rollup_id', type: 'int4' },
  { name: 'devices', type: 'int4' },
  { name: 'count', type: 'int8' },
  { name: 'sum', type: 'float8[]' },
  { name: 'moment', type: 'float8[]' },
  { name: 'min', type: 'float8' },
  { name: 'max', type: 'float8' },
  { name: 'first', type: 'float8' },
  { name: 'first_ts', type: 'timestamptz' },
  { name: 'first_device', type: 'text' },
  { name: 'last', type: 'float8' },
  { name: 'last_ts', type: 'timestamptz' },
  { name: 'last_device', type: 'text' },
  { name: 'sketch', type: 'bytea' },
];
const FIGURES = COLUMNS.slice(2);

/** One metric of one group, as far as the devices of one partition make it up. */
interface Part {
  readonly partition: number;
  readonly definition: string;
  readonly name: string;
  readonly metric: string;
}

const textOf = ({ partition, definition, name, metric }: Part): string =>
  JSON.stringify([partition, definition, name, metric]);

type RollupScope = ConstructorParameters<typeof RollupChanges>[0][number];

interface Known {
  /** By key in the database. */
  readonly parts: ReadonlyMap<number, Part & { readonly since: number }>;
  readonly ids: ReadonlyMap<string, number>;
  readonly scopes: ReadonlyMap<number, readonly RollupScope[]>;
}

/** A roll-up that is not as it should be; `row` is null when it should not be at all. */
export interface RollupDifference extends Part {
  readonly table: string;
  /** Null: there is no key yet. */
  readonly id: number | null;
  readonly groupedBy: string;
  readonly start: number;
  readonly row: RollupRow | null;
}

export interface RollupOptions {
  /** As configured. */
  readonly groupings: readonly Grouping[];
  /** Device rows that count as recomputed, because they will be. */
  readonly mended?: (level: number, seriesId: number, start: number) => boolean;
  /** Told of every difference. */
  readonly differs?: (difference: RollupDifference) => void;
}

/**
 * Compares the stored roll-ups with those of the recomputed device rows. Of a window that is still open a roll-up has
 * the device row that is stored, if there is one. Walks from one start of windows to the next, so memory holds the roll-ups of
 * one. Definitions that are not configured are left out.
 */
export async function compareRollups(
  options: CompareOptions,
  rollups: RollupOptions,
): Promise<LevelReport[]> {
  const known = await readKnown(options, rollups.groupings);
  const beside = await options.live.share();
  try {
    const reports: LevelReport[] = [];
    for (let level = 1; level < LEVELS.length; level++)
      reports.push(await new RollupComparison(level, options, rollups, known).run(beside));
    return reports;
  } finally {
    await beside.close();
  }
}

async function readKnown({ live }: CompareOptions, groupings: readonly Grouping[]): Promise<Known> {
  const rows = await live.query<{ partition: number; definition: string; since: number }>(
    'reading what is rolled up',
    `SELECT partition, definition, ${epochMs('since')} AS since FROM ${TABLES.rollupScopes}`,
  );
  const scopes = new Map<number, RollupScope[]>();
  for (const { partition, definition, since } of rows) {
    const grouping = groupings.find((one) => one.definition === definition);
    if (grouping === undefined) continue;
    const list = scopes.get(partition) ?? [];
    list.push({ grouping, since });
    scopes.set(partition, list);
  }
  const stored = await live.query<Part & { id: number }>(
    'reading the keys of roll-ups',
    `SELECT rollup_id AS id, partition, definition, name, metric FROM ${TABLES.rollups}`,
  );
  const parts = new Map<number, Part & { since: number }>();
  for (const { id, ...part } of stored) {
    const scope = scopes.get(part.partition)?.find(({ grouping }) => grouping.definition === part.definition);
    if (scope !== undefined) parts.set(id, { ...part, since: scope.since });
  }
  return { parts, ids: new Map([...parts].map(([id, part]) => [textOf(part), id])), scopes };
}

class RollupComparison {
  private readonly level: number;
  private readonly table: string;
  private readonly options: CompareOptions;
  private readonly rollups: RollupOptions;
  private readonly known: Known;
  private readonly changes = new Map<number, RollupChanges>();
  private readonly tally = noTally();
  private readonly examples: Difference[] = [];

  constructor(level: number, options: CompareOptions, rollups: RollupOptions, known: Known) {
    this.level = level;
    this.table = (ROLLUP_LEVELS[level - 1] as (typeof ROLLUP_LEVELS)[number]).table;
    this.options = options;
    this.rollups = rollups;
    this.known = known;
    for (const [partition, scopes] of known.scopes) this.changes.set(partition, new RollupChanges(scopes));
  }

  async run(beside: CompareOptions['live']): Promise<LevelReport> {
    const { level, table, options } = this;
    const { name, table: windows } = LEVELS[level] as (typeof LEVELS)[number];
    const doing = `comparing roll-ups of level ${name}`;
    const where = bounds(level, table, options);
    const columns = timeFirst(columnsOf(level));
    const select = `SELECT ${namesOf(columns)} FROM ${windows} WHERE ${where} ORDER BY ts, series_id`;
    const live = options.live.rows(doing, select, columns);
    const made = options.scratch.rows(doing, select, columns);
    const stored = beside.rows(
      doing,
      `SELECT ${namesOf(COLUMNS)} FROM ${table} WHERE ${where} ORDER BY ts, rollup_id`,
      COLUMNS,
    );
    let isLive = await live.next();
    let isMade = await made.next();
    let isStored = await stored.next();
    while (isLive || isMade || isStored) {
      const start = Math.min(
        isLive ? live.time(0) : Number.POSITIVE_INFINITY,
        isMade ? made.time(0) : Number.POSITIVE_INFINITY,
        isStored ? stored.time(0) : Number.POSITIVE_INFINITY,
      );
      while ((isLive && live.time(0) === start) || (isMade && made.time(0) === start)) {
        const order = isLive && isMade ? compareKeys(live, made, columns, 2) : isLive ? -1 : 1;
        this.addUp(order <= 0 ? live : null, order >= 0 ? made : null, columns);
        if (order <= 0) isLive = live.advance() || (await live.next());
        if (order >= 0) isMade = made.advance() || (await made.next());
      }
      const rows = new Map<number, Buffer>();
      while (isStored && stored.time(0) === start) {
        rows.set(stored.int4(1), stored.copy());
        isStored = stored.advance() || (await stored.next());
      }
      this.compare(start, rows);
    }
    return { level: name, table, tally: this.tally, examples: this.examples };
  }

  /** Adds the row of a device that roll-ups are made of. */
  private addUp(live: TupleCursor | null, made: TupleCursor | null, columns: readonly Column[]): void {
    if (made === null) return; // the log knows of no such row
    const id = made.int4(1);
    const start = made.time(0);
    const facts = this.options.series.get(id);
    if (facts === undefined) return;
    const open = start + (LEVEL_MS[this.level] as number) > facts.watermark;
    const rounded =
      this.options.rounded?.has(this.level, id, start) === true &&
      live !== null &&
      isRoundingOf(live, made, columns);
    const asStored = rounded || (open && this.rollups.mended?.(this.level, id, start) !== true);
    const row = asStored ? live : made;
    if (row === null) return;
    const { site, device, metric, partition } = facts;
    this.changes.get(partition)?.row(this.level, { id, site, device, metric }, figuresOf(row, columns), null);
  }

  private compare(start: number, rows: ReadonlyMap<number, Buffer>): void {
    const left = new Set(rows.keys());
    for (const [partition, changes] of this.changes) {
      for (const { group, change } of changes.take()) {
        const part = { ...group, partition, definition: group.grouping.definition };
        const id = this.known.ids.get(textOf(part)) ?? null;
        const stored = id === null ? undefined : rows.get(id);
        const row = change.encode();
        const recomputed = recordOf(row);
        const difference = { ...part, table: this.table, id, groupedBy: group.grouping.by, start, row };
        if (id !== null) left.delete(id);
        if (stored === undefined) {
          this.note('missing', difference, null, recomputed);
          continue;
        }
        const values = valuesOf(stored, COLUMNS);
        if (Object.keys(differing(FIGURES, values, recomputed)).length === 0) this.tally.equal++;
        else this.note('different', difference, values, recomputed);
      }
    }
    for (const id of left) {
      const part = this.known.parts.get(id);
      if (part === undefined || start <= part.since) continue;
      const difference = { ...part, table: this.table, id, groupedBy: '', start, row: null };
      this.note('extra', difference, valuesOf(rows.get(id) as Buffer, COLUMNS), null);
    }
  }

  private note(
    kind: DifferenceKind,
    difference: RollupDifference,
    stored: Record<string, Value> | null,
    recomputed: Record<string, Value> | null,
  ): void {
    const { partition, name, metric, id, start } = difference;
    const provable = this.options.provableFrom.get(partition);
    if (provable !== undefined && start < provable) {
      this.tally.unprovable++;
      return;
    }
    this.tally[kind]++;
    this.rollups.differs?.(difference);
    if (this.examples.filter((one) => one.kind === kind).length >= EXAMPLES) return;
    const { name: level } = LEVELS[this.level] as (typeof LEVELS)[number];
    const of = { rollup: name, metric, partition };
    const columns = differing(FIGURES, stored, recomputed);
    this.examples.push({ kind, table: this.table, level, of, id, start, columns });
  }
}

const namesOf = (columns: readonly Column[]): string => columns.map(({ name }) => name).join(', ');

function timeFirst([series, ts, ...rest]: readonly Column[]): readonly Column[] {
  return [ts as Column, series as Column, ...rest];
}

function figuresOf(row: TupleCursor, columns: readonly Column[]): Figures {
  const values = valuesOf(row.copy(), columns) as Record<string, number>;
  const figure = (name: string): number => values[name] as number;
  return {
    start: figure('ts'),
    count: figure('count'),
    sum: figure('sum'),
    min: figure('min'),
    max: figure('max'),
    m2: figure('m2'),
    first: figure('first'),
    firstTs: figure('first_ts'),
    last: figure('last'),
    lastTs: figure('last_ts'),
    sketch: Sketch.decode(values.sketch as unknown as Buffer),
  };
}

function recordOf(row: RollupRow): Record<string, Value> {
  return {
    devices: row.devices,
    count: BigInt(row.count),
    sum: row.sum,
    moment: row.moment,
    min: row.min,
    max: row.max,
    first: row.first,
    first_ts: row.firstTs,
    first_device: row.firstDevice,
    last: row.last,
    last_ts: row.lastTs,
    last_device: row.lastDevice,
    sketch: row.sketch,
  };
}
