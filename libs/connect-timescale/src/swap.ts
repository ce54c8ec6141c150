import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import pg from 'pg';
import type { Runner } from './database.ts';
import { mapError, sqlState } from './errors.ts';
import { readNextOffsets } from './offsets.ts';

export interface SwapOptions {
  /** Address of the live database. */
  readonly url: string;
  readonly topic: string;
  /** Waits for those who read or write for at most this long at a time, milliseconds: meanwhile others wait behind. */
  readonly lockTimeoutMs: number;
  /** Attempts to get the locks; the waits between them grow. */
  readonly attempts: number;
  /** Owners of partitions wait behind the lock by now: brings the scratch tables to exactly these offsets. */
  readonly catchUp: (next: ReadonlyMap<number, bigint>) => Promise<void>;
  /** Puts the new rows in the place of the old ones. */
  readonly replace: (transaction: Runner) => Promise<void>;
  /** Told why an attempt failed. */
  readonly waiting: (why: string) => void;
  readonly signal: AbortSignal;
}

/** LOCK NOT AVAILABLE, DEADLOCK DETECTED */
const BUSY = new Set(['55P03', '40P01']);
const PAUSE_MS = 500;

/**
 * One transaction in which nobody else moves: `partition_offsets` is locked, so no owner of a partition can write;
 * the scratch tables are brought to where the live ones stand; the rows are replaced; and the epoch of every partition is
 * raised, so that its owner is refused and takes up the new rows. Either all of it is done or nothing.
 * @returns how long the owners were held up, milliseconds
 */
export async function swapIn(options: SwapOptions): Promise<number> {
  const { url, attempts, signal, waiting } = options;
  const doing = 'putting the new windows in the place of the old ones';
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      statement_timeout: 0,
      idle_in_transaction_session_timeout: 0,
      application_name: 'weir swap',
    });
    client.on('error', () => undefined); // the statement that runs reports it
    try {
      await client.connect();
      return await swapOnce(client, options);
    } catch (error) {
      const busy = BUSY.has(sqlState(mapError(doing, error)) ?? '');
      if (!busy || attempt === attempts) throw mapError(doing, error);
      waiting('a long query or transaction holds the windows');
      await delay(PAUSE_MS * attempt, undefined, { signal }).catch(() => undefined); // the loop throws the reason
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

async function swapOnce(client: pg.Client, options: SwapOptions): Promise<number> {
  const { topic, lockTimeoutMs, catchUp, replace } = options;
  const transaction: Runner = {
    query: async (_doing, text, values = []) => (await client.query(text, [...values])).rows,
  };
  await client.query(`BEGIN; SET LOCAL lock_timeout = ${lockTimeoutMs}`);
  // Retention asks there before each of its transactions.
  await client.query(`LOCK TABLE ${TABLES.maintenance} IN EXCLUSIVE MODE`);
  await client.query(`LOCK TABLE ${TABLES.partitionOffsets} IN EXCLUSIVE MODE`);
  const began = performance.now();
  await catchUp(await readNextOffsets(transaction, topic));
  await replace(transaction);
  await transaction.query(
    'raising the epochs',
    `UPDATE ${TABLES.partitionOffsets} SET epoch = epoch + 1, owner = 'weir rebuild', updated_at = now() WHERE topic = $1`,
    [topic],
  );
  await client.query('COMMIT');
  return performance.now() - began;
}

export interface TableSwap {
  readonly live: string;
  readonly scratch: string;
  /** Gets the old tables; made here, and removed by whoever opens a scratch schema next. */
  readonly old: string;
  readonly tables: readonly string[];
}

/**
 * Puts tables of the scratch schema in the place of those of the live one. Takes every lock before it changes anything,
 * in the order of `tables`.
 */
export async function swapTables(runner: Runner, { live, scratch, old, tables }: TableSwap): Promise<void> {
  const names = tables.map((table) => `ONLY ${live}.${table}`);
  await runner.query('locking the tables', `LOCK TABLE ${names.join(', ')} IN ACCESS EXCLUSIVE MODE`);
  await runner.query('making room', `CREATE SCHEMA ${old}`);
  for (const table of tables) {
    await runner.query('moving an old table', `ALTER TABLE ${live}.${table} SET SCHEMA ${old}`);
    await runner.query('moving a new table', `ALTER TABLE ${scratch}.${table} SET SCHEMA ${live}`);
  }
}

/**
 * What stands beside the windows, from a scratch schema: where the log must be read again from, which late readings
 * were brought back, and what is expired. Throws when the scratch tables are not exactly where the live ones are.
 */
export async function adoptPositions(
  runner: Runner,
  live: string,
  scratch: string,
  topic: string,
): Promise<void> {
  const doing = 'taking the positions of the new windows over';
  const astray = await runner.query<{ partition: number }>(
    doing,
    `SELECT o.partition FROM ${live}.${TABLES.partitionOffsets} o
       LEFT JOIN ${scratch}.${TABLES.partitionOffsets} s USING (topic, partition)
      WHERE o.topic = $1 AND o.next_offset <> coalesce(s.next_offset, 0)`,
    [topic],
  );
  if (astray.length > 0)
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `${doing}: partition ${astray.map(({ partition }) => partition).join(', ')} stands elsewhere in the log`,
    );
  await runner.query(
    doing,
    `UPDATE ${live}.${TABLES.partitionOffsets} o SET replay_offset = s.replay_offset, sources = s.sources
       FROM ${scratch}.${TABLES.partitionOffsets} s WHERE o.topic = $1 AND s.topic = o.topic AND s.partition = o.partition`,
    [topic],
  );
  await runner.query(
    doing,
    `INSERT INTO ${live}.${TABLES.forcedReadings} (identity, partition, replay_offset, series_id, ts, finest)
     SELECT identity, partition, replay_offset, series_id, ts, finest
       FROM ${scratch}.${TABLES.forcedReadings} WHERE replay_offset IS NOT NULL
     ON CONFLICT (identity) DO UPDATE SET finest = EXCLUDED.finest`,
  );
  await runner.query(
    doing,
    `DELETE FROM ${live}.${TABLES.retention} r
      WHERE NOT EXISTS (SELECT FROM ${scratch}.${TABLES.retention} s WHERE s.table_name = r.table_name)`,
  );
  await runner.query(
    doing,
    `INSERT INTO ${live}.${TABLES.retention} (table_name, expired_before, changed_at)
     SELECT table_name, expired_before, now() FROM ${scratch}.${TABLES.retention}
     ON CONFLICT (table_name) DO UPDATE SET expired_before = EXCLUDED.expired_before, changed_at = now()`,
  );
}
