import type { Runner } from './database.ts';

export interface Edition {
  /** Version of the extension, for example 2.19.3. */
  readonly version: string;
  /** `apache` has hypertables, `time_bucket` and `drop_chunks`; `timescale` has compression and aggregates too. */
  readonly license: 'apache' | 'timescale';
}

/**
 * What this TimescaleDB can do. In the Apache edition (Debian's) compression, policies and continuous aggregates are
 * refused by the server.
 */
export async function readEdition(runner: Runner): Promise<Edition> {
  const [row] = await runner.query<{ version: string; license: string }>(
    'reading the TimescaleDB edition',
    `SELECT extversion AS version, current_setting('timescaledb.license') AS license
       FROM pg_extension WHERE extname = 'timescaledb'`,
  );
  return { version: row?.version ?? '0', license: row?.license === 'timescale' ? 'timescale' : 'apache' };
}
