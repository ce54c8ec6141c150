import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import pg from 'pg';
import { mapError, sqlState } from './errors.ts';

/** "weir" in ASCII: one lock for everything that changes the schema. */
const LOCK = 0x77656972;
const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/;

export interface MigrationResult {
  readonly applied: readonly string[];
  readonly total: number;
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/**
 * Applies the numbered migrations of `dir` that the database does not have yet, each in a transaction of its own,
 * under an advisory lock so that several starters do not meet. Forward only.
 *
 * Throws `WEIR_STATE` (fatal) for an applied migration that was edited or is missing, two with one number, a missing
 * extension or a statement that fails; transient errors when the server is away.
 */
export async function migrate(url: string, dir: string): Promise<MigrationResult> {
  const migrations = readMigrations(dir);
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    application_name: 'weir migrate',
  });
  client.on('error', () => undefined); // the statement that is running reports it
  try {
    await client.connect();
  } catch (error) {
    throw mapError('connecting to migrate the database', error);
  }
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await client.query(`CREATE TABLE IF NOT EXISTS schema_migrations (
      number int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`);
    const { rows } = await client.query<{ number: number; name: string; checksum: string }>(
      'SELECT number, name, checksum FROM schema_migrations ORDER BY number',
    );
    const done = new Map(rows.map((row) => [row.number, row]));
    checkApplied(migrations, rows);
    const applied: string[] = [];
    for (const migration of migrations) {
      if (done.has(migration.number)) continue;
      await apply(client, migration);
      applied.push(migration.name);
    }
    return { applied, total: migrations.length };
  } catch (error) {
    throw mapError('migrating the database', error);
  } finally {
    await client.end().catch(() => undefined); // ends the lock too
  }
}

function readMigrations(dir: string): Migration[] {
  const migrations = readdirSync(dir)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const number = Number(FILE.exec(name)?.[1]);
      if (!Number.isInteger(number))
        throw state(`the migration ${name} must be called NNNN_name.sql, for example 0007_add_tags.sql`);
      const sql = readFileSync(join(dir, name), 'utf8');
      return { number, name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    });
  for (const [i, migration] of migrations.entries()) {
    const next = migrations[i + 1];
    if (next?.number === migration.number)
      throw state(`two migrations have the number ${migration.number}: ${migration.name} and ${next.name}`);
  }
  return migrations;
}

function checkApplied(
  migrations: readonly Migration[],
  rows: readonly { number: number; name: string; checksum: string }[],
): void {
  for (const { number, name, checksum } of rows) {
    const file = migrations.find((migration) => migration.number === number);
    if (file === undefined)
      throw state(
        `the database has migration ${name}, which this version of Weir does not know. Start the newer version.`,
      );
    if (file.checksum !== checksum)
      throw state(
        `migration ${file.name} was edited after it was applied. Restore the file and put the change into a new migration.`,
      );
  }
}

async function apply(client: pg.Client, { number, name, sql, checksum }: Migration): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query('INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)', [
      number,
      name,
      checksum,
    ]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    const mapped = mapError(`applying migration ${name}`, error);
    if (!(mapped instanceof WeirError) || mapped.retry === 'transient') throw mapped;
    const missing = /extension "(\w+)"/.exec(mapped.message)?.[1];
    const missingState = sqlState(error);
    if (missing !== undefined && (missingState === '0A000' || missingState === '58P01'))
      throw state(
        `${mapped.message}. The PostgreSQL server does not have the extension ${missing}: install it (Debian: postgresql-17-timescaledb) and set shared_preload_libraries = '${missing}'.`,
        error,
      );
    throw state(mapped.message, error);
  }
}

function state(message: string, cause?: unknown): WeirError {
  return new WeirError('WEIR_STATE', 'fatal', message, cause);
}
