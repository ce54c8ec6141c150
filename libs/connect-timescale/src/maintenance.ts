import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import pg from 'pg';
import type { Database, Runner, Transaction } from './database.ts';
import { mapError } from './errors.ts';

/** "weir" in ASCII, and the number of the job: a pair of its own, apart from the lock of the migrations. */
const LOCK_CLASS = 0x77656972;
const LOCKS = { retention: 1, alerter: 2, replay: 3, sweep: 4, 'lag-monitor': 5 } as const;
export type MaintenanceJob = keyof typeof LOCKS;

/** A holder that is paused for longer loses its session, and with it the lock. */
const SILENCE_MS = 45_000;

/** The right to run a job, held by one process at a time. */
export interface Lease {
  readonly job: MaintenanceJob;
  /** Raised with every take-over; `fenced` compares it. */
  readonly token: bigint;
  /** Aborts when the session that holds the lock is gone. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export interface LeaseOptions {
  readonly silenceMs?: number;
  /** Token of a lease whose session was lost: it is kept when nobody else has had the lock since. */
  readonly resume?: bigint | null;
}

/**
 * Tries to become the one process that runs `job`: an advisory lock in a session of its own, which the server ends
 * when nothing is heard of it for `silenceMs`. Null while another process holds it. Throws as `Database.query` does.
 * @param holder shown in the table `maintenance`
 */
export async function acquireLease(
  url: string,
  job: MaintenanceJob,
  holder: string,
  { silenceMs = SILENCE_MS, resume = null }: LeaseOptions = {},
): Promise<Lease | null> {
  const doing = `taking the lock of the job ${job}`;
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    query_timeout: Math.min(10_000, silenceMs),
    keepAlive: true,
    application_name: `weir ${job}`,
  });
  const lost = new AbortController();
  client.on('error', () => lost.abort());
  client.on('end', () => lost.abort());
  let timer: NodeJS.Timeout | undefined;
  const release = async (): Promise<void> => {
    clearInterval(timer);
    await client.end().catch(() => undefined); // ends the lock too
  };
  try {
    await client.connect();
    await client.query(`SET idle_session_timeout = ${silenceMs}`);
    await client.query(
      'SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3',
    );
    const { rows: locked } = await client.query<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock($1, $2) AS taken',
      [LOCK_CLASS, LOCKS[job]],
    );
    if (locked[0]?.taken !== true) {
      await release();
      return null;
    }
    const { rows } = await client.query<{ token: string }>(
      `INSERT INTO ${TABLES.maintenance} AS m (job, token, holder, held_since) VALUES ($1, 1, $2, now())
       ON CONFLICT (job) DO UPDATE
         SET token = CASE WHEN m.token = $3 THEN m.token ELSE m.token + 1 END, holder = EXCLUDED.holder, held_since = now()
       RETURNING token`,
      [job, holder, resume],
    );
    timer = setInterval(() => {
      client.query('SELECT 1').catch(() => {
        lost.abort();
        void release();
      });
    }, silenceMs / 5).unref();
    return { job, token: BigInt(rows[0]?.token ?? 0), lost: lost.signal, release };
  } catch (error) {
    await release();
    throw mapError(doing, error);
  }
}

type Held = Pick<Lease, 'job' | 'token'>;

async function check(runner: Runner, { job, token }: Held, doing: string, lock: string): Promise<void> {
  const [row] = await runner.query<{ token: string; holder: string }>(
    `checking who runs the job ${job}`,
    `SELECT token, holder FROM ${TABLES.maintenance} WHERE job = $1 ${lock}`,
    [job],
  );
  if (row !== undefined && BigInt(row.token) === token) return;
  const now = row === undefined ? 'nobody' : row.holder;
  throw new WeirError('WEIR_FENCED', 'transient', `${doing}: the job ${job} belongs to ${now} now`);
}

/**
 * A transaction that commits only while the lease is the newest one: the token's row stays locked until its end, so a
 * successor waits for it. Throws `WEIR_FENCED` (transient) when another process has taken over; nothing is done then.
 */
export function fenced<T>(
  database: Database,
  held: Held,
  doing: string,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  return database.transaction(doing, async (transaction) => {
    await check(transaction, held, doing, 'FOR SHARE');
    return work(transaction);
  });
}

/** Throws `WEIR_FENCED` (transient) unless the lease is the newest one: for what is done without writing anything. */
export const confirmLease = (runner: Runner, held: Held, doing: string): Promise<void> =>
  check(runner, held, doing, '');

/** Who runs a job, as the database knows it. */
export interface JobStatus {
  readonly holder: string;
  readonly heldSince: Date;
  /** End of the last run that finished; null before the first. */
  readonly succeededAt: Date | null;
}

/** Null when no process has ever run the job. */
export async function readJob(runner: Runner, job: MaintenanceJob): Promise<JobStatus | null> {
  const [row] = await runner.query<JobStatus & Record<string, unknown>>(
    `reading who runs the job ${job}`,
    `SELECT holder, held_since AS "heldSince", succeeded_at AS "succeededAt"
       FROM ${TABLES.maintenance} WHERE job = $1`,
    [job],
  );
  return row ?? null;
}
