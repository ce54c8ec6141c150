import type { Readable } from 'node:stream';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { Runner } from './database.ts';
import { mapError } from './errors.ts';
import { type Column, TupleCursor } from './tuples.ts';

/** One connection in one transaction: everything that is read through it is of one moment, that of the first query. */
export interface Snapshot extends Runner {
  /** Rows of a SELECT, streamed. One at a time; leave none half read unless the snapshot is closed next. */
  rows(doing: string, select: string, columns: readonly Column[]): TupleCursor;
  /** Another connection that sees the same moment, for a stream beside this one's. Close it too. */
  share(): Promise<Snapshot>;
  /** Ends the transaction and the connection. Idempotent. */
  close(): Promise<void>;
}

const CONNECT_MS = 5_000;

/**
 * Opens a REPEATABLE READ transaction without a deadline for its statements. While it is open, the server keeps old
 * rows for it.
 * @param lock a table that others may only read meanwhile; the lock is taken before the moment of the snapshot
 */
export function openSnapshot(url: string, { lock }: { readonly lock?: string } = {}): Promise<Snapshot> {
  return open(url, lock === undefined ? [] : [`LOCK TABLE ${lock} IN EXCLUSIVE MODE`]);
}

/** @param first statements before the moment of the snapshot */
async function open(url: string, first: readonly string[]): Promise<Snapshot> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    application_name: 'weir snapshot',
    statement_timeout: 0,
    idle_in_transaction_session_timeout: 0,
  });
  client.on('error', () => undefined); // the statement that runs reports it
  const query: Runner['query'] = async (doing, text, values = []) => {
    try {
      return (await client.query(text, [...values])).rows;
    } catch (error) {
      throw mapError(doing, error);
    }
  };
  let streaming = false;
  const close = async (): Promise<void> => {
    // A connection that is in the middle of a COPY cannot be asked to end.
    if (streaming) (client as unknown as { connection: { stream: Readable } }).connection.stream.destroy();
    await client.end().catch(() => undefined);
  };
  try {
    await client.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    for (const statement of first) await client.query(statement);
  } catch (error) {
    await close();
    throw mapError('opening a snapshot of the database', error);
  }
  async function* stream(doing: string, select: string): AsyncGenerator<Buffer, void, undefined> {
    try {
      streaming = true;
      yield* client.query(copyTo(`COPY (${select}) TO STDOUT (FORMAT binary)`)) as AsyncIterable<Buffer>;
      streaming = false;
    } catch (error) {
      throw mapError(doing, error);
    }
  }
  return {
    query,
    rows: (doing, select, columns) => new TupleCursor(columns, stream(doing, select)),
    async share() {
      const doing = 'sharing a snapshot of the database';
      const [row] = await query<{ id: string }>(doing, 'SELECT pg_export_snapshot() AS id');
      return open(url, [`SET TRANSACTION SNAPSHOT '${row?.id ?? ''}'`]);
    },
    close,
  };
}
