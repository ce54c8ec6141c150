import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@weir/observe';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { mapError } from './errors.ts';

export interface DatabaseOptions {
  /** postgres:// address with credentials. */
  readonly url: string;
  readonly log: Logger;
  readonly poolSize?: number;
  /** Deadline of one statement, milliseconds. */
  readonly statementTimeoutMs?: number;
  /** The server rolls back a transaction whose client is silent for this long, milliseconds; default: never. */
  readonly idleInTransactionMs?: number;
  /** Shown in pg_stat_activity. */
  readonly name?: string;
}

/** Runs statements on one connection. */
export interface Runner {
  /** Rows of a statement. Throws `WeirError` (transient, data or fatal) that begins with `doing`. */
  query<R extends pg.QueryResultRow>(doing: string, text: string, values?: readonly unknown[]): Promise<R[]>;
}

export interface Transaction extends Runner {
  /** COPY … FROM STDIN with these bytes, as they come (`binary` ones carry header and trailer themselves). */
  copy(doing: string, statement: string, chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void>;
}

export interface Database extends Runner {
  /**
   * Commits what `work` did, or nothing. After a transient error from the COMMIT itself it is unknown which of the
   * two happened (`inDoubt` is then true on the error): read it back.
   */
  transaction<T>(doing: string, work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** True when a connection was made and none was lost since. */
  readonly healthy: boolean;
  close(): Promise<void>;
}

const CONNECT_MS = 5_000;
const ROLLBACK_MS = 1_000;

/** A pool that never throws by itself: an idle connection that breaks is replaced at the next call. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize ?? 6,
    connectionTimeoutMillis: CONNECT_MS,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: options.name ?? 'weir',
    statement_timeout: options.statementTimeoutMs ?? 30_000,
    idle_in_transaction_session_timeout: options.idleInTransactionMs ?? 0,
    // The server's own deadline cannot end a wait for a server that is gone.
    query_timeout: (options.statementTimeoutMs ?? 30_000) + 5_000,
  });
  let healthy = false;
  let closing: Promise<void> | null = null;
  pool.on('connect', (client) => {
    healthy = true;
    client.on('error', () => {
      healthy = false;
    });
  });
  pool.on('error', (error) => {
    healthy = false;
    options.log.debug({ err: error }, 'an idle database connection ended');
  });

  const connect = async (doing: string): Promise<pg.PoolClient> => {
    try {
      return await pool.connect();
    } catch (error) {
      healthy = false;
      throw mapError(doing, error);
    }
  };
  const run = async <R extends pg.QueryResultRow>(
    client: pg.PoolClient,
    doing: string,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<R[]> => {
    try {
      return (await client.query<R>(text, [...values])).rows;
    } catch (error) {
      throw mapError(doing, error);
    }
  };
  const copy = async (
    client: pg.PoolClient,
    doing: string,
    statement: string,
    chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  ): Promise<void> => {
    try {
      const stream = client.query(copyFrom(statement));
      let failed = false;
      // After its own deadline pg tells the stream a second time, when the connection is closed.
      stream.on('error', () => {
        failed = true;
      });
      const finished = once(stream, 'finish');
      finished.catch(() => undefined); // it may fail while the next chunk is waited for
      for await (const chunk of chunks) {
        if (failed) break;
        if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), finished]);
      }
      if (failed) await finished;
      stream.end();
      await finished;
    } catch (error) {
      throw mapError(doing, error);
    }
  };

  return {
    async query(doing, text, values) {
      const client = await connect(doing);
      let failure: Error | undefined;
      try {
        return await run(client, doing, text, values);
      } catch (error) {
        failure = error as Error;
        throw error;
      } finally {
        client.release(broken(failure));
      }
    },
    async transaction(doing, work) {
      const client = await connect(doing);
      let failure: Error | undefined;
      try {
        await run(client, doing, 'BEGIN');
        const result = await work({
          query: (what, text, values) => run(client, what, text, values),
          copy: (what, statement, chunks) => copy(client, what, statement, chunks),
        });
        await run(client, doing, 'COMMIT').catch((error: unknown) => {
          if (error instanceof Error) Object.assign(error, { inDoubt: true });
          throw error;
        });
        return result;
      } catch (error) {
        failure = error as Error;
        // A server that does not answer rolls back by itself when the connection is closed below.
        await Promise.race([
          run(client, doing, 'ROLLBACK').catch(() => undefined),
          delay(ROLLBACK_MS, undefined, { ref: false }),
        ]);
        throw error;
      } finally {
        client.release(broken(failure));
      }
    },
    get healthy() {
      return healthy;
    },
    close() {
      closing ??= pool.end();
      return closing;
    },
  };
}

/** A connection goes back to the pool after an error in the data, never after any other. */
function broken(error: Error | undefined): boolean {
  return error !== undefined && (error as { retry?: string }).retry !== 'data';
}
