import { WeirError } from '@weir/flow';
import { POSTGRES_EPOCH_MS } from './rows.ts';

/** Types that a `TupleCursor` reads, as COPY BINARY writes them. */
export type ColumnType = 'int2' | 'int4' | 'int8' | 'float8' | 'timestamptz' | 'text' | 'bytea' | 'float8[]';
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

export type Value = number | bigint | string | Buffer | readonly number[] | null;

// https://www.postgresql.org/docs/17/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY
const HEADER_BYTES = 19;
const TRAILER = -1;
const NOTHING = Buffer.alloc(0);

/**
 * Reads the rows of a `COPY (SELECT …) TO STDOUT (FORMAT binary)` one by one, without making objects of them: two
 * rows are equal when their bytes are, so a comparison is exact to the bit. Holds one piece of the stream at a time.
 *
 * `advance` moves to the next row at once; when it answers false, `more` fetches the next piece.
 */
export class TupleCursor {
  /** First byte of the row, and of the one behind it, in `bytes`. */
  start = 0;
  end = 0;
  bytes: Buffer = NOTHING;
  private readonly columns: readonly Column[];
  private readonly source: AsyncIterator<Buffer>;
  private headed = false;
  private ended = false;

  /** @param columns those of the statement, in its order */
  constructor(columns: readonly Column[], source: AsyncIterable<Buffer>) {
    this.columns = columns;
    this.source = source[Symbol.asyncIterator]();
  }

  /** Moves to the next row; false: ask `more`. */
  advance(): boolean {
    const { bytes, columns } = this;
    let at = this.end;
    if (!this.headed) {
      if (bytes.length < HEADER_BYTES) return false;
      at = HEADER_BYTES + bytes.readInt32BE(HEADER_BYTES - 4);
    }
    const start = at;
    if (at + 2 > bytes.length) return false;
    const fields = bytes.readInt16BE(at);
    if (fields === TRAILER) {
      this.ended = true;
      return false;
    }
    if (fields !== columns.length)
      throw new WeirError('WEIR_DECODE', 'fatal', `a row has ${fields} columns, not ${columns.length}`);
    at += 2;
    for (let i = 0; i < fields; i++) {
      if (at + 4 > bytes.length) return false;
      const length = bytes.readInt32BE(at);
      at += 4;
      if (length > 0) at += length;
    }
    if (at > bytes.length) return false;
    this.headed = true;
    this.start = start;
    this.end = at;
    return true;
  }

  /** Fetches more of the stream; false at its end. */
  async more(): Promise<boolean> {
    if (this.ended) return false;
    const { value, done } = await this.source.next();
    if (done === true) {
      this.ended = true;
      return false;
    }
    const rest = this.bytes.subarray(this.end);
    this.bytes = rest.length === 0 ? value : Buffer.concat([rest, value]);
    this.start = 0;
    this.end = 0;
    return true;
  }

  /** The next row, or false at the end. Waits only between pieces of the stream. */
  async next(): Promise<boolean> {
    while (!this.advance()) if (!(await this.more())) return false;
    return true;
  }

  /** The row's bytes, copied. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(this.start, this.end));
  }

  equals(other: TupleCursor): boolean {
    return (
      this.end - this.start === other.end - other.start &&
      this.bytes.compare(other.bytes, other.start, other.end, this.start, this.end) === 0
    );
  }

  /** Of a column that is no null and of a fixed length, as are all before it: where its value begins. */
  private fixed(index: number): number {
    let at = this.start + 6;
    for (let i = 0; i < index; i++) at += 4 + this.bytes.readInt32BE(at - 4);
    return at;
  }

  int4(index: number): number {
    return this.bytes.readInt32BE(this.fixed(index));
  }
  /** Epoch milliseconds of a timestamptz. */
  time(index: number): number {
    return timeAt(this.bytes, this.fixed(index));
  }
}

/** Less than, equal to or greater than zero: the order of two rows by their first `keys` columns, of the same types. */
export function compareKeys(
  a: TupleCursor,
  b: TupleCursor,
  columns: readonly Column[],
  keys: number,
): number {
  let i = a.start + 2;
  let j = b.start + 2;
  for (let key = 0; key < keys; key++) {
    const left = a.bytes.readInt32BE(i);
    const right = b.bytes.readInt32BE(j);
    i += 4;
    j += 4;
    const { type } = columns[key] as Column;
    let order: number;
    if (type === 'text' || type === 'bytea') {
      order = a.bytes.compare(b.bytes, j, j + right, i, i + left);
    } else {
      // Signed integers: the first byte decides with its sign, the others without.
      order = a.bytes.readInt8(i) - b.bytes.readInt8(j);
      if (order === 0) order = a.bytes.compare(b.bytes, j + 1, j + right, i + 1, i + left);
    }
    if (order !== 0) return order;
    i += left;
    j += right;
  }
  return 0;
}

function timeAt(bytes: Buffer, at: number): number {
  const micros = bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  return micros / 1_000 + POSTGRES_EPOCH_MS;
}

/** The values of a row by column name; times as epoch milliseconds. */
export function valuesOf(tuple: Buffer, columns: readonly Column[]): Record<string, Value> {
  const values: Record<string, Value> = {};
  let at = 2;
  for (const { name, type } of columns) {
    const length = tuple.readInt32BE(at);
    at += 4;
    values[name] = length < 0 ? null : valueAt(tuple, at, length, type);
    if (length > 0) at += length;
  }
  return values;
}

function valueAt(bytes: Buffer, at: number, length: number, type: ColumnType): Value {
  switch (type) {
    case 'int2':
      return bytes.readInt16BE(at);
    case 'int4':
      return bytes.readInt32BE(at);
    case 'int8':
      return bytes.readBigInt64BE(at);
    case 'float8':
      return bytes.readDoubleBE(at);
    case 'timestamptz':
      return timeAt(bytes, at);
    case 'text':
      return bytes.toString('utf8', at, at + length);
    case 'bytea':
      return Buffer.from(bytes.subarray(at, at + length));
    case 'float8[]': {
      // Dimensions, flags, element type; of each dimension its size and lower bound; each element with its length.
      const size = bytes.readInt32BE(at) === 0 ? 0 : bytes.readInt32BE(at + 12);
      return Array.from({ length: size }, (_, i) => bytes.readDoubleBE(at + 24 + i * 12));
    }
  }
}
