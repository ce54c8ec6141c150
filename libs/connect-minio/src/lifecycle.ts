import type { Client, LifecycleConfig, LifecycleRule } from 'minio';

/** What the object store itself shall do with the archive. */
export interface ArchiveRetention {
  /** Milliseconds, rounded up to whole days; Infinity: for ever. */
  readonly keepMs: number;
  readonly lock: 'none' | 'governance' | 'compliance';
  /** Milliseconds, rounded up to whole days. */
  readonly lockForMs: number;
}

const DAY_MS = 86_400_000;
const EXPIRE = 'weir-archive';
/** In a versioned bucket (any with object lock) an expired object leaves a marker behind. */
const TIDY = 'weir-archive-markers';
const PREFIX = 'raw/';

const days = (ms: number): number => Math.ceil(ms / DAY_MS);

function wantedRules({ keepMs }: ArchiveRetention): LifecycleRule[] {
  if (!Number.isFinite(keepMs)) return [];
  return [
    {
      ID: EXPIRE,
      Status: 'Enabled',
      Filter: { Prefix: PREFIX },
      Expiration: { Days: days(keepMs) },
      NoncurrentVersionExpiration: { NoncurrentDays: 1 },
    },
    {
      ID: TIDY,
      Status: 'Enabled',
      Filter: { Prefix: PREFIX },
      Expiration: { ExpiredObjectDeleteMarker: true },
    },
  ] as LifecycleRule[];
}

async function readRules(client: Client, bucket: string): Promise<LifecycleRule[]> {
  try {
    const config = (await client.getBucketLifecycle(bucket)) as {
      Rule?: LifecycleRule | LifecycleRule[];
    } | null;
    return [config?.Rule ?? []].flat();
  } catch (error) {
    if ((error as { code?: string }).code === 'NoSuchLifecycleConfiguration') return [];
    throw error;
  }
}

const isOurs = ({ ID }: LifecycleRule): boolean => ID === EXPIRE || ID === TIDY;

/** Days after which objects expire by a rule of that name; null when there is none. */
function expiryDays(rules: readonly LifecycleRule[]): number | null {
  const rule = rules.find(({ ID, Status }) => ID === EXPIRE && Status === 'Enabled');
  const found = (rule as { Expiration?: { Days?: number | string } } | undefined)?.Expiration?.Days;
  return found === undefined ? null : Number(found);
}

interface Lock {
  readonly mode: string | undefined;
  readonly days: number | null;
}

/** Null for a bucket that was made without object lock. */
async function readLock(client: Client, bucket: string): Promise<Lock | null> {
  try {
    const lock = (await client.getObjectLockConfig(bucket)) as unknown as {
      mode?: string;
      validity?: number | string;
      unit?: string;
    };
    const validity = lock.validity === undefined ? null : Number(lock.validity);
    return {
      mode: lock.mode?.toLowerCase(),
      days: lock.unit === 'Years' && validity !== null ? validity * 365 : validity,
    };
  } catch (error) {
    if ((error as { code?: string }).code === 'ObjectLockConfigurationNotFoundError') return null;
    throw error;
  }
}

/** In what a bucket differs from the settings, as sentences; empty when in nothing. */
export async function retentionDifferences(
  client: Client,
  bucket: string,
  wanted: ArchiveRetention,
): Promise<readonly string[]> {
  const found: string[] = [];
  const rules = await readRules(client, bucket);
  const keep = wantedRules(wanted).length === 0 ? null : days(wanted.keepMs);
  const text = (count: number | null): string => (count === null ? 'for ever' : `${count} days`);
  const present = expiryDays(rules);
  if (present !== keep)
    found.push(`bucket ${bucket} keeps objects ${text(present)}, retention.archive says ${text(keep)}`);
  const lock = await readLock(client, bucket);
  if (wanted.lock !== 'none' && lock === null) {
    found.push(
      `bucket ${bucket} was made without object lock, retention.archiveLock says ${wanted.lock}: ` +
        'a lock can be had only with a new bucket',
    );
  } else if (wanted.lock !== 'none' && (lock?.mode !== wanted.lock || lock.days !== days(wanted.lockForMs))) {
    const now =
      lock?.mode === undefined
        ? 'does not lock objects'
        : `locks objects (${lock.mode}) for ${lock.days} days`;
    found.push(`bucket ${bucket} ${now}, the settings say ${wanted.lock} for ${days(wanted.lockForMs)} days`);
  }
  return found;
}

/** Brings a bucket in line with the settings where that can be done; rules of others stay. Idempotent. */
export async function applyRetention(
  client: Client,
  bucket: string,
  wanted: ArchiveRetention,
): Promise<void> {
  if ((await retentionDifferences(client, bucket, wanted)).length === 0) return;
  const others = (await readRules(client, bucket)).filter((rule) => !isOurs(rule));
  const rules = [...others, ...wantedRules(wanted)];
  await client.setBucketLifecycle(
    bucket,
    rules.length === 0 ? null : ({ Rule: rules } satisfies LifecycleConfig),
  );
  if (wanted.lock === 'none' || (await readLock(client, bucket)) === null) return;
  await client.setObjectLockConfig(bucket, {
    mode: wanted.lock === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE',
    unit: 'Days',
    validity: days(wanted.lockForMs),
  } as Parameters<Client['setObjectLockConfig']>[1]);
}
