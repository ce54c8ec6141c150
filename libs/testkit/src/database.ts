import { retrying, WeirError } from '@weir/flow';
import pg from 'pg';

/** Whatever deletes rows, tables or databases calls this first: it lets pass nothing but a database of a test. */
export function requireTestDatabase(database: string): void {
  if (/^weir_test_[a-z0-9_]+$/.test(database)) return;
  throw new WeirError(
    'WEIR_STATE',
    'fatal',
    `Refusing to touch database "${database}": it is not one for tests.`,
  );
}

export async function withDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const INSUFFICIENT_PRIVILEGE = '42501';
const REMOVE_MS = 15_000;

/** Ends whoever is connected; an autovacuum worker, which only a superuser may end, is waited for. */
export async function removeDatabase(adminUrl: string, database: string): Promise<void> {
  requireTestDatabase(database);
  const since = performance.now();
  await withDatabase(adminUrl, (client) =>
    retrying(() => client.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`), {
      maxMs: 500,
      shouldRetry: (error) =>
        (error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE &&
        performance.now() - since < REMOVE_MS,
    }),
  );
}
