import { randomBytes } from 'node:crypto';
import { WeirError } from '@weir/flow';
import pg from 'pg';
import type { Runner } from './database.ts';
import { mapError } from './errors.ts';

/** What a scratch schema is for; one rebuild at a time, any number of audits. */
export type ScratchKind = 'audit' | 'rebuild';

/** A schema with tables of the live ones' names and shapes, which nobody else reads. */
export interface Scratch {
  readonly schema: string;
  /** Name for a schema of the same life, for the tables that these ones replace. */
  readonly old: string;
  /** The schema that has the live tables. */
  readonly live: string;
  /** Address of the database in which unqualified names mean the scratch tables. */
  readonly url: string;
  /** Aborts when the session that holds the schema is gone: then another run may remove it. */
  readonly lost: AbortSignal;
  /** Drops the schema and everything in it. Idempotent. */
  remove(): Promise<void>;
}

export interface ScratchOptions {
  readonly kind: ScratchKind;
  /** The live database, read for the shapes of its tables. */
  readonly live: Runner;
  /** Address of the database that gets the schema. */
  readonly url: string;
  readonly tables: readonly string[];
  /** `plain`: unlogged, for what is thrown away. `live`: as the live ones, hypertables too, for what replaces them. */
  readonly storage: 'plain' | 'live';
  /** Names that are not among `tables` mean the live tables; only in the live database. */
  readonly besideLive: boolean;
}

const PREFIX = 'weir_scratch_';
/** "weis" in ASCII and the schema's hash: held while the run lives. */
const HELD = 0x77656973;
/** "weib" and the kind: held by the one rebuild. */
const ALONE = 0x77656962;
const PING_MS = 10_000;

/**
 * Makes a scratch schema, after it has dropped those of runs that are dead: each run holds a lock in a session of its
 * own, which ends with the process. Throws `WEIR_STATE` (fatal) when a rebuild is under way and this is one too.
 */
export async function openScratch(options: ScratchOptions): Promise<Scratch> {
  const { kind, url, live, tables, storage, besideLive } = options;
  const doing = `making the scratch schema of this ${kind}`;
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    statement_timeout: 0,
    application_name: `weir ${kind}`,
  });
  const lost = new AbortController();
  const gone = (): void =>
    lost.abort(
      new WeirError('WEIR_CONNECTION_LOST', 'transient', `the database ended the session of this ${kind}`),
    );
  client.on('error', gone);
  const schema = `${PREFIX}${kind}_${randomBytes(5).toString('hex')}`;
  let timer: NodeJS.Timeout | undefined;
  let made = false;
  let removing: Promise<void> | undefined;
  const remove = async (): Promise<void> => {
    clearInterval(timer);
    try {
      if (made && !lost.signal.aborted)
        for (const name of [schema, oldOf(schema)]) await dropSchema(client, name);
    } finally {
      await client.end().catch(() => undefined); // ends the locks too
    }
  };
  try {
    await client.connect();
    if (kind === 'rebuild' && !(await tryLock(client, ALONE, '0')))
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        'another rebuild is under way in this database: wait for its end',
      );
    await removeDead(client);
    for (const name of [schema, oldOf(schema)]) await tryLock(client, HELD, `hashtext('${name}')`);
    const [current] = await live.query<{ schema: string }>(doing, 'SELECT current_schema() AS schema');
    const liveSchema = current?.schema ?? 'public';
    const shapes: TableShape[] = [];
    for (const table of tables) shapes.push(await readShape(live, liveSchema, table));
    await client.query(`CREATE SCHEMA ${schema}`);
    made = true;
    for (const shape of shapes)
      for (const statement of createLike(shape, liveSchema, schema, storage)) await client.query(statement);
    timer = setInterval(() => void client.query('SELECT 1').catch(gone), PING_MS).unref();
    return {
      schema,
      old: oldOf(schema),
      live: liveSchema,
      url: withSearchPath(url, besideLive ? `${schema},${liveSchema}` : schema),
      lost: lost.signal,
      remove: () => (removing ??= remove()),
    };
  } catch (error) {
    await remove().catch(() => undefined);
    throw mapError(doing, error);
  }
}

const oldOf = (schema: string): string => `${schema}_old`;

async function tryLock(client: pg.Client, lockClass: number, key: string): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(
    `SELECT pg_try_advisory_lock(${lockClass}, ${key}) AS taken`,
  );
  return rows[0]?.taken === true;
}

/** Drops the schemas that no session holds. */
async function removeDead(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ schema: string }>(
    'SELECT nspname AS schema FROM pg_namespace WHERE starts_with(nspname, $1)',
    [PREFIX],
  );
  for (const { schema } of rows) {
    const key = `hashtext('${schema}')`;
    if (!(await tryLock(client, HELD, key))) continue;
    await dropSchema(client, schema);
    await client.query(`SELECT pg_advisory_unlock(${HELD}, ${key})`);
  }
}

/** One table at a time: each chunk of a hypertable takes locks, and a transaction holds a bounded number. */
async function dropSchema(client: pg.Client, schema: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT tablename AS name FROM pg_tables WHERE schemaname = $1',
    [schema],
  );
  for (const { name } of rows) await client.query(`DROP TABLE IF EXISTS ${schema}."${name}" CASCADE`);
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
}

function withSearchPath(url: string, path: string): string {
  const address = new URL(url);
  const before = address.searchParams.get('options');
  const own = `-c search_path=${path} -c synchronous_commit=off -c jit=off`;
  address.searchParams.set('options', before === null ? own : `${before} ${own}`);
  return address.href;
}

interface TableShape {
  readonly table: string;
  readonly columns: readonly string[];
  readonly constraints: readonly { readonly name: string; readonly definition: string }[];
  readonly indexes: readonly string[];
  /** `fillfactor=50`, … */
  readonly options: readonly string[];
  readonly grants: readonly string[];
  /** Of a hypertable: length of its chunks. */
  readonly chunkSeconds: number | null;
  /** Schema of the extension's functions. */
  readonly extension: string;
}

async function readShape(live: Runner, schema: string, table: string): Promise<TableShape> {
  const doing = `reading the shape of table ${table}`;
  const name = [`${schema}.${table}`];
  const columns = await live.query<{ column: string }>(
    doing,
    `SELECT format('%I %s', attname, format_type(atttypid, atttypmod))
            || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
            || CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' WHEN 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY' ELSE '' END
            || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') AS "column"
       FROM pg_attribute a LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    name,
  );
  const constraints = await live.query<{ name: string; definition: string }>(
    doing,
    `SELECT format('%I', conname) AS name, pg_get_constraintdef(oid) AS definition
       FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'c')`,
    name,
  );
  const indexes = await live.query<{ definition: string }>(
    doing,
    `SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index
      WHERE indrelid = $1::regclass
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)`,
    name,
  );
  const [more] = await live.query<{
    options: string[] | null;
    grants: string[];
    chunk: number | null;
    extension: string;
  }>(
    doing,
    `SELECT reloptions AS options,
            ARRAY(SELECT format('%s TO %s', privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
                    FROM aclexplode(relacl) WHERE grantee <> relowner) AS grants,
            (SELECT extract(epoch FROM time_interval)::float8 FROM timescaledb_information.dimensions
              WHERE hypertable_schema = $2 AND hypertable_name = $3) AS chunk,
            (SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'timescaledb') AS extension
       FROM pg_class WHERE oid = $1::regclass`,
    [...name, schema, table],
  );
  return {
    table,
    columns: columns.map(({ column }) => column),
    constraints,
    indexes: indexes.map(({ definition }) => definition),
    options: more?.options ?? [],
    grants: more?.grants ?? [],
    chunkSeconds: more?.chunk ?? null,
    extension: more?.extension ?? 'public',
  };
}

function createLike(
  shape: TableShape,
  live: string,
  schema: string,
  storage: ScratchOptions['storage'],
): string[] {
  const { table, columns, constraints, indexes, options, grants, chunkSeconds, extension } = shape;
  const plain = storage === 'plain';
  const kept = options.filter((option) => !plain || option.startsWith('fillfactor'));
  const settings = plain ? [...kept, 'autovacuum_enabled=false'] : kept;
  const name = `${schema}.${table}`;
  const parts = [...columns, ...constraints.map((one) => `CONSTRAINT ${one.name} ${one.definition}`)];
  const statements = [
    `CREATE ${plain ? 'UNLOGGED ' : ''}TABLE ${name} (${parts.join(', ')})
       ${settings.length === 0 ? '' : `WITH (${settings.join(', ')})`}`,
  ];
  if (!plain && chunkSeconds !== null) {
    statements.push(
      `SELECT ${extension}.create_hypertable('${name}', ${extension}.by_range('ts', make_interval(secs => ${chunkSeconds})),
         create_default_indexes => false)`,
    );
  }
  for (const index of indexes) statements.push(index.replace(` ON ${live}.`, ` ON ${schema}.`));
  if (!plain)
    for (const grant of grants) statements.push(`GRANT ${grant.replace(' TO ', ` ON ${name} TO `)}`);
  return statements;
}
