import type { DeadLetterSelection } from '@weir/api';
import type { Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import type { FullLetter, Letter } from './letter.ts';

/** Adds a value to a statement and answers its place (`$3`). */
export type Parameter = (value: unknown) => string;

/** Collects the values of a statement. */
export function parameters(): { readonly values: unknown[]; readonly parameter: Parameter } {
  const values: unknown[] = [];
  return { values, parameter: (value) => `$${values.push(value)}` };
}

/**
 * The condition of a WHERE for rows `l` of the index.
 * @param selection an empty one fits every letter
 */
export function whereOf(selection: DeadLetterSelection, parameter: Parameter): string {
  const found: string[] = [];
  const among = (column: string, type: string, values: readonly string[] | undefined): void => {
    if (values !== undefined) found.push(`l.${column} = ANY(${parameter(values)}::${type}[])`);
  };
  const compare = (condition: string, value: unknown): void => {
    if (value !== undefined) found.push(condition.replace('?', parameter(value)));
  };
  among('id', 'text', selection.ids);
  among('reason', 'text', selection.reason);
  among('stage', 'text', selection.stage);
  among('status', 'text', selection.status);
  among('origin_system', 'text', selection.originSystem);
  compare('l.site = ?', selection.site);
  compare('l.device = ?', selection.device);
  compare('l.fingerprint = ?', selection.fingerprint);
  compare('l.origin = ?', selection.origin);
  compare('l.last_failed_at >= to_timestamp(?::float8 / 1000)', selection.from);
  compare('l.last_failed_at < to_timestamp(?::float8 / 1000)', selection.to);
  compare('l.replay_count >= ?', selection.replayedAtLeast);
  compare('l.replay_count <= ?', selection.replayedAtMost);
  return found.length === 0 ? 'true' : found.join(' AND ');
}

const COLUMNS = `l.id, l.seq, l.reason, l.stage, l.site, l.device, l.fingerprint, l.error_class, l.error_message,
  l.origin_system, l.origin, l.found_in, l.first_failed_at, l.last_failed_at, l.original_ts, l.arrived_at, l.retryable,
  l.readings, l.replay_count, l.returned_count, l.status, l.status_at, l.status_by, l.status_why, l.object,
  l.object_offset, l.length, encode(l.sha256, 'hex') AS sha256, l.content, l.bytes_removed_at`;

interface Row extends Record<string, unknown> {
  readonly id: string;
  readonly seq: string;
  readonly reason: Letter['reason'];
  readonly stage: string;
  readonly site: string;
  readonly device: string;
  readonly fingerprint: string;
  readonly error_class: string;
  readonly error_message: string;
  readonly origin_system: Letter['originSystem'];
  readonly origin: string;
  readonly found_in: string;
  readonly first_failed_at: Date;
  readonly last_failed_at: Date;
  readonly original_ts: Date;
  readonly arrived_at: Date;
  readonly retryable: boolean;
  readonly readings: number[] | null;
  readonly replay_count: number;
  readonly returned_count: number;
  readonly status: Letter['status'];
  readonly status_at: Date | null;
  readonly status_by: string | null;
  readonly status_why: string | null;
  readonly object: string | null;
  readonly object_offset: string;
  readonly length: number;
  readonly sha256: string;
  readonly content: Letter['content'];
  readonly bytes_removed_at: Date | null;
}
interface FullRow extends Row {
  readonly key: Buffer | null;
  readonly headers: FullLetter['headers'];
  readonly properties: FullLetter['properties'];
}

function toLetter(row: Row): Letter {
  return {
    id: row.id,
    seq: BigInt(row.seq),
    reason: row.reason,
    stage: row.stage,
    site: row.site,
    device: row.device,
    fingerprint: row.fingerprint,
    errorClass: row.error_class,
    errorMessage: row.error_message,
    originSystem: row.origin_system,
    origin: row.origin,
    foundIn: row.found_in,
    firstFailedAt: row.first_failed_at,
    lastFailedAt: row.last_failed_at,
    originalAt: row.original_ts,
    arrivedAt: row.arrived_at,
    retryable: row.retryable,
    readings: row.readings,
    replayCount: row.replay_count,
    returnedCount: row.returned_count,
    status: row.status,
    statusAt: row.status_at,
    statusBy: row.status_by,
    statusWhy: row.status_why,
    place: row.object === null ? null : { object: row.object, offset: Number(row.object_offset) },
    length: row.length,
    sha256: row.sha256,
    content: row.content,
    bytesRemovedAt: row.bytes_removed_at,
  };
}

const toFull = (row: FullRow): FullLetter => ({
  ...toLetter(row),
  key: row.key,
  headers: row.headers,
  properties: row.properties,
});

export async function countLetters(runner: Runner, selection: DeadLetterSelection): Promise<number> {
  const { values, parameter } = parameters();
  const [row] = await runner.query<{ count: string }>(
    'counting dead letters',
    `SELECT count(*) AS count FROM ${TABLES.deadLetters} l WHERE ${whereOf(selection, parameter)}`,
    values,
  );
  return Number(row?.count ?? 0);
}

export interface Page {
  /** `newest` and `oldest` in the order of indexing. */
  readonly order: 'newest' | 'oldest';
  /** `seq` of the last letter of the page before. */
  readonly after?: bigint | undefined;
  /** 1..10,000 */
  readonly limit: number;
}

function pageOf(columns: string, selection: DeadLetterSelection, { order, after, limit }: Page) {
  const { values, parameter } = parameters();
  const where = whereOf(selection, parameter);
  const [sign, direction] = order === 'newest' ? ['<', 'DESC'] : ['>', 'ASC'];
  const from = after === undefined ? '' : `AND l.seq ${sign} ${parameter(String(after))}::bigint`;
  const text = `SELECT ${columns} FROM ${TABLES.deadLetters} l WHERE ${where} ${from}
    ORDER BY l.seq ${direction} LIMIT ${parameter(limit)}`;
  return { text, values };
}

export async function listLetters(
  runner: Runner,
  selection: DeadLetterSelection,
  page: Page,
): Promise<Letter[]> {
  const { text, values } = pageOf(COLUMNS, selection, page);
  return (await runner.query<Row>('listing dead letters', text, values)).map(toLetter);
}

/** Like `listLetters`, with what is needed to send letters again: keys and headers. */
export async function fullLetters(
  runner: Runner,
  selection: DeadLetterSelection,
  page: Page,
): Promise<FullLetter[]> {
  const { text, values } = pageOf(`${COLUMNS}, l.key, l.headers, l.properties`, selection, page);
  return (await runner.query<FullRow>('reading dead letters', text, values)).map(toFull);
}

/** Null when there is no such letter (any more). */
export async function findLetter(runner: Runner, id: string): Promise<FullLetter | null> {
  const [letter] = await fullLetters(runner, { ids: [id] }, { order: 'oldest', limit: 1 });
  return letter ?? null;
}
