import { WeirError } from '@weir/flow';
import type { DeviceCredential } from '@weir/reading';
import pg from 'pg';
import { mapError, sqlState } from './errors.ts';

/** Device credentials, wherever they are kept. */
export interface DeviceCredentials {
  /** All of them, revoked ones too, by device. */
  list(): Promise<DeviceCredential[]>;
  /** Adds or replaces the credential of a device. */
  put(credential: DeviceCredential): Promise<void>;
  /** Marks the credential as revoked; false when the device has none that is valid. */
  revoke(device: string): Promise<boolean>;
  close(): Promise<void>;
}

interface Row {
  readonly device: string;
  readonly site: string;
  readonly hash: string;
  readonly publish: string[];
  readonly subscribe: string[];
  readonly created_at: Date;
  readonly revoked_at: Date | null;
}

const COLUMNS = 'device, site, hash, publish, subscribe, created_at, revoked_at';
const UNDEFINED_TABLE = '42P01';

/**
 * Device credentials in the table `device_credentials`, over one connection of its own. Once that is lost every call
 * fails: open it again. Throws `WeirError`: transient when the database is away, fatal when it refuses.
 */
export async function openDeviceCredentials(url: string): Promise<DeviceCredentials> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
    application_name: 'weir device credentials',
  });
  client.on('error', () => undefined); // the statement under way, or the next one, reports it
  const ask = async (doing: string, sql: string, values: readonly unknown[] = []): Promise<Row[]> => {
    try {
      return (await client.query<Row>(sql, [...values])).rows;
    } catch (error) {
      if (sqlState(error) !== UNDEFINED_TABLE) throw mapError(doing, error);
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `${doing}: the table device_credentials is missing. Create it with \`weir topology apply\`.`,
        error,
      );
    }
  };
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw mapError('connecting to read device credentials', error);
  }
  return {
    async list() {
      const rows = await ask(
        'reading device credentials',
        `SELECT ${COLUMNS} FROM device_credentials ORDER BY device`,
      );
      return rows.map(({ created_at, revoked_at, ...rest }) => ({
        ...rest,
        createdAt: created_at.toISOString(),
        revokedAt: revoked_at?.toISOString() ?? null,
      }));
    },
    async put({ device, site, hash, publish, subscribe, createdAt, revokedAt }) {
      await ask(
        `storing the credential of ${device}`,
        `INSERT INTO device_credentials (${COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (device) DO UPDATE SET site = excluded.site, hash = excluded.hash, publish = excluded.publish,
           subscribe = excluded.subscribe, created_at = excluded.created_at, revoked_at = excluded.revoked_at`,
        [device, site, hash, publish, subscribe, createdAt, revokedAt],
      );
    },
    async revoke(device) {
      const revoked = await ask(
        `revoking the credential of ${device}`,
        'UPDATE device_credentials SET revoked_at = now() WHERE device = $1 AND revoked_at IS NULL RETURNING *',
        [device],
      );
      return revoked.length === 1;
    },
    async close() {
      await client.end();
    },
  };
}
