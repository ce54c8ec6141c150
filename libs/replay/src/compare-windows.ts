import { type Column, type Snapshot, type TupleCursor, type Value, valuesOf } from '@weir/connect-timescale';
import { LEVELS, type LevelName } from '@weir/topology';
import { alignDown, LEVEL_MS, TOP } from '@weir/windows';
import { mergeJoin } from './merge-join.ts';
import { isRounding, type RoundedWindows } from './rounded.ts';

/** What is known of a series. */
export interface SeriesFacts {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly partition: number;
  /** Of its device at the cut, epoch milliseconds; −Infinity when nothing of it was folded. */
  watermark: number;
}

/** What became of the windows of a level. */
export interface Tally {
  /** Both have the row, and all its figures are the same bits. */
  equal: number;
  /** The log says that there must be a row. */
  missing: number;
  /** There is a row that the log does not account for. */
  extra: number;
  different: number;
  /** The level's retention has passed. */
  expired: number;
  /**
   * Windows that their device's watermark has not passed: their row comes when they close, or when the device falls
   * silent, and then again when they close. There is none yet, or one of fewer readings.
   */
  open: number;
  /** They differ, but records that nobody holds any more may be why. */
  unprovable: number;
}

export const noTally = (): Tally => ({
  equal: 0,
  missing: 0,
  extra: 0,
  different: 0,
  expired: 0,
  open: 0,
  unprovable: 0,
});

export type DifferenceKind = 'missing' | 'extra' | 'different';

/** One window that is not as the log says. */
export interface Difference {
  readonly kind: DifferenceKind;
  /** Table that has, or should have, the row. */
  readonly table: string;
  readonly level: LevelName;
  /** Whose window it is; null: the row names a series that is not known. */
  readonly of:
    | Pick<SeriesFacts, 'site' | 'device' | 'metric'>
    | { readonly rollup: string; readonly metric: string; readonly partition: number }
    | null;
  /** Key of the series or roll-up; null: it has none. */
  readonly id: number | null;
  /** Epoch milliseconds. */
  readonly start: number;
  /** Columns that differ, with both values; all of them when one side has no row. */
  readonly columns: Readonly<Record<string, { readonly stored: Value; readonly recomputed: Value }>>;
  /** Records that hold readings of the window; absent when they were not looked for. */
  readonly offsets?: { readonly partition: number; readonly list: readonly bigint[]; readonly more: boolean };
}

export interface LevelReport {
  readonly level: LevelName;
  readonly table: string;
  readonly tally: Tally;
  /** The first few of each kind. */
  readonly examples: readonly Difference[];
}

export interface CompareOptions {
  readonly live: Snapshot;
  readonly scratch: Snapshot;
  readonly series: ReadonlyMap<number, SeriesFacts>;
  /** Only these series; null: all. */
  readonly only: readonly number[] | null;
  /** Only windows that lie within, epoch milliseconds; ±Infinity: no bound. */
  readonly from: number;
  readonly to: number;
  /** By table: windows that start before are expired. */
  readonly expiry: ReadonlyMap<string, Date>;
  /** By partition: windows that start before cannot be told for certain. */
  readonly provableFrom: ReadonlyMap<number, number>;
  /** Told of every difference, for those who mend them; open windows of a level may be told of late. */
  readonly differs?: (kind: DifferenceKind, level: number, seriesId: number, start: number) => void;
  /** Windows that may be rounded otherwise; absent: none may. */
  readonly rounded?: RoundedWindows;
  /** Told now and then how many rows were compared. */
  readonly compared: (rows: number) => void;
}

/** Of each kind and table. */
export const EXAMPLES = 5;
const KEYS = 2;
const TELL_EVERY = 50_000;

const PANE: readonly Column[] = [
  { name: 'series_id', type: 'int4' },
  { name: 'ts', type: 'timestamptz' },
  { name: 'count', type: 'int4' },
  { name: 'sum', type: 'float8' },
  { name: 'min', type: 'float8' },
  { name: 'max', type: 'float8' },
  { name: 'm2', type: 'float8' },
  { name: 'first', type: 'float8' },
  { name: 'last', type: 'float8' },
  { name: 'first_ts', type: 'timestamptz' },
  { name: 'last_ts', type: 'timestamptz' },
  { name: 'sketch', type: 'bytea' },
];
const WINDOW: readonly Column[] = [
  ...PANE,
  { name: 'p50', type: 'float8' },
  { name: 'p90', type: 'float8' },
  { name: 'p99', type: 'float8' },
];
/** Everything of a row that follows from the log: not `revision`, nor how a row is stored. */
export const columnsOf = (level: number): readonly Column[] => (level === 0 ? PANE : WINDOW);

const COUNT = PANE.findIndex(({ name }) => name === 'count');

/** Condition on the rows of a level that are compared; what is expired in `table` is not. */
export function bounds(
  level: number,
  table: string,
  { only, from, to, expiry }: Pick<CompareOptions, 'only' | 'from' | 'to' | 'expiry'>,
): string {
  const low = Math.max(from, expiry.get(table)?.getTime() ?? Number.NEGATIVE_INFINITY);
  const high = to - (LEVEL_MS[level] as number);
  const conditions = [
    ...(Number.isFinite(low) ? [`ts >= to_timestamp(${low / 1_000})`] : []),
    ...(Number.isFinite(high) ? [`ts <= to_timestamp(${high / 1_000})`] : []),
    ...(only === null ? [] : [`series_id = ANY('{${only.join(',')}}'::int[])`]),
  ];
  return conditions.length === 0 ? 'true' : conditions.join(' AND ');
}

const key = (series: number, start: number): string => `${series} ${start}`;

/** An open window without a row, until the level above says whether it should have one. */
interface Absent {
  readonly tuple: Buffer;
  readonly series: number;
  readonly start: number;
}

/**
 * Compares the stored windows of all levels with recomputed ones, finest level first: two streams in the same order,
 * row by row, byte by byte. Memory holds the open windows of one level.
 */
export async function compareWindows(options: CompareOptions): Promise<LevelReport[]> {
  const reports: LevelReport[] = [];
  let below: LevelComparison | null = null;
  for (let level = 0; level < LEVELS.length; level++) {
    const comparison: LevelComparison = new LevelComparison(level, options, below);
    await comparison.run();
    reports.push(comparison.report); // may still change with the level above
    below = comparison;
  }
  return reports;
}

class LevelComparison {
  private readonly level: number;
  private readonly table: string;
  private readonly options: CompareOptions;
  private below: LevelComparison | null;
  private readonly columns: readonly Column[];
  private readonly tally = noTally();
  private readonly examples: Difference[] = [];
  /** Windows of the level above that have a row, because an open window of this level, which they hold, has one. */
  readonly implied = new Set<string>();
  /** By the window of the level above. */
  readonly absent = new Map<string, Absent[]>();
  private rows = 0;

  constructor(level: number, options: CompareOptions, below: LevelComparison | null) {
    this.level = level;
    this.table = (LEVELS[level] as (typeof LEVELS)[number]).table;
    this.options = options;
    this.below = below;
    this.columns = columnsOf(level);
  }

  async run(): Promise<void> {
    const { level, table, columns } = this;
    const { live, scratch } = this.options;
    const select = `SELECT ${columns.map(({ name }) => name).join(', ')} FROM ${table}
      WHERE ${bounds(level, table, this.options)} ORDER BY series_id, ts`;
    const doing = `comparing windows of level ${this.name}`;
    await mergeJoin(live.rows(doing, select, columns), scratch.rows(doing, select, columns), columns, KEYS, {
      equal: (row) => {
        this.tally.equal++;
        if (level > 0) this.whole(row);
        this.told();
      },
      different: (stored, made) => this.different(stored, made),
      leftOnly: (row) => this.extra(row),
      rightOnly: (row) => this.missing(row),
    });
    this.options.compared(this.rows % TELL_EVERY);
    this.below = null;
    this.tally.expired += await this.countExpired();
  }

  get report(): LevelReport {
    const { name: level, table, tally, examples } = this;
    return { level, table, tally, examples };
  }

  private get name(): LevelName {
    return (LEVELS[this.level] as (typeof LEVELS)[number]).name;
  }

  private told(): void {
    if (++this.rows % TELL_EVERY === 0) this.options.compared(TELL_EVERY);
  }

  /** A stored row holds all readings of its window, so all open windows below that hold some have a row as well. */
  private whole(row: TupleCursor): void {
    const place = this.open(row);
    if (place === null) return;
    this.shown(place);
    for (const { tuple, series, start } of this.below?.absent.get(key(place.series, place.start)) ?? [])
      this.below?.nowMissing(tuple, series, start);
    this.below?.absent.delete(key(place.series, place.start));
  }

  private different(stored: TupleCursor, made: TupleCursor): void {
    this.told();
    const place = this.open(stored);
    if (place !== null && stored.int4(COUNT) < made.int4(COUNT)) {
      this.tally.open++;
      this.shown(place);
      return;
    }
    const { rounded } = this.options;
    if (
      rounded?.has(this.level, stored.int4(0), stored.time(1)) === true &&
      isRoundingOf(stored, made, this.columns)
    ) {
      this.tally.equal++;
      this.whole(stored);
      return;
    }
    this.note('different', stored.int4(0), stored.time(1), stored.copy(), made.copy());
  }

  private extra(row: TupleCursor): void {
    this.told();
    this.note('extra', row.int4(0), row.time(1), row.copy(), null);
  }

  private missing(row: TupleCursor): void {
    this.told();
    const place = this.open(row);
    if (place === null || this.below?.implied.has(key(place.series, place.start)) === true) {
      this.note('missing', row.int4(0), row.time(1), null, row.copy());
      return;
    }
    this.tally.open++;
    const { series, start } = place;
    if (this.level === TOP) return;
    const parent = this.parentOf(series, start);
    const list = this.absent.get(parent);
    const absent = { tuple: row.copy(), series, start };
    if (list === undefined) this.absent.set(parent, [absent]);
    else list.push(absent);
  }

  private nowMissing(tuple: Buffer, series: number, start: number): void {
    this.tally.open--;
    this.note('missing', series, start, null, tuple);
  }

  /** An open window has a row: silence made it, and made those of all windows above with it. */
  private shown({ series, start }: { series: number; start: number }): void {
    if (this.level < TOP) this.implied.add(this.parentOf(series, start));
  }

  private parentOf(series: number, start: number): string {
    return key(series, alignDown(start, LEVEL_MS[this.level + 1] as number));
  }

  /** Null for a window that is closed; panes always have their row. */
  private open(row: TupleCursor): { series: number; start: number } | null {
    if (this.level === 0) return null;
    const series = row.int4(0);
    const start = row.time(1);
    const watermark = this.options.series.get(series)?.watermark ?? Number.POSITIVE_INFINITY;
    return start + (LEVEL_MS[this.level] as number) > watermark ? { series, start } : null;
  }

  private note(
    kind: DifferenceKind,
    seriesId: number,
    start: number,
    stored: Buffer | null,
    recomputed: Buffer | null,
  ): void {
    const facts = this.options.series.get(seriesId);
    const provable = facts === undefined ? undefined : this.options.provableFrom.get(facts.partition);
    if (provable !== undefined && start < provable) {
      this.tally.unprovable++;
      return;
    }
    this.tally[kind]++;
    this.options.differs?.(kind, this.level, seriesId, start);
    if (this.examples.filter((one) => one.kind === kind).length >= EXAMPLES) return;
    const of = facts === undefined ? null : { site: facts.site, device: facts.device, metric: facts.metric };
    const columns = differing(
      this.columns.slice(KEYS),
      stored === null ? null : valuesOf(stored, this.columns),
      recomputed === null ? null : valuesOf(recomputed, this.columns),
    );
    this.examples.push({ kind, table: this.table, level: this.name, of, id: seriesId, start, columns });
  }

  private async countExpired(): Promise<number> {
    const { expiry, scratch } = this.options;
    const before = expiry.get(this.table);
    if (before === undefined) return 0;
    const where = bounds(this.level, this.table, { ...this.options, expiry: new Map() });
    const [row] = await scratch.query<{ n: string }>(
      `counting expired windows of level ${this.name}`,
      `SELECT count(*) AS n FROM ${this.table} WHERE ${where} AND ts < $1`,
      [before],
    );
    return Number(row?.n ?? 0);
  }
}

/** Whether two rows of a window are the same but for the order in which a replay behind the retention was added. */
export function isRoundingOf(stored: TupleCursor, made: TupleCursor, columns: readonly Column[]): boolean {
  const live = valuesOf(stored.copy(), columns);
  return isRounding(differing(columns, live, valuesOf(made.copy(), columns)), live);
}

/** The columns that differ; all of them when one side has no row. */
export function differing(
  columns: readonly Column[],
  stored: Readonly<Record<string, Value>> | null,
  recomputed: Readonly<Record<string, Value>> | null,
): Difference['columns'] {
  const all = columns.map(
    ({ name }) => [name, { stored: stored?.[name] ?? null, recomputed: recomputed?.[name] ?? null }] as const,
  );
  return Object.fromEntries(
    stored === null || recomputed === null ? all : all.filter(([, one]) => !same(one.stored, one.recomputed)),
  );
}

/** To the bit. */
function same(a: Value, b: Value): boolean {
  if (a instanceof Buffer && b instanceof Buffer) return a.equals(b);
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
  return Object.is(a, b);
}
