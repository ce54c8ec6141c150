import { type Column, figure } from '../../output.ts';

/** Figures of a window that every table of windows shows. */
interface Shown {
  readonly count: number;
  readonly mean: number | null;
  readonly stddev: number | null;
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * Columns of the figures of a row.
 * @param of null: the row is a gap
 * @param middle title of the median
 */
export function figureColumns<Row>(
  of: (row: Row) => Shown | null | undefined,
  middle: 'P50' | 'MEDIAN' = 'P50',
): Column<Row>[] {
  const column = (title: string, name: Exclude<keyof Shown, 'count'>): Column<Row> => ({
    title,
    value: (row) => figure(of(row)?.[name] ?? null),
    align: 'right',
  });
  return [
    { title: 'COUNT', value: (row) => of(row)?.count, align: 'right' },
    column('MEAN', 'mean'),
    column('STDDEV', 'stddev'),
    column('MIN', 'min'),
    column(middle, 'p50'),
    column('P99', 'p99'),
    column('MAX', 'max'),
  ];
}
