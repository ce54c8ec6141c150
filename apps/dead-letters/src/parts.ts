import { openStore, type Store } from '@weir/connect-minio';
import { type Database, openDatabase } from '@weir/connect-timescale';
import { type BytesReader, openBytes } from '@weir/dead-letters';
import { errorMessage, retrying } from '@weir/flow';
import type { AppContext } from '@weir/lifecycle';
import { deadLetterBucket } from '@weir/topology';

/** What indexer and replays share. */
export interface Parts {
  readonly database: Database;
  readonly store: Store;
  readonly bucket: string;
  readonly bytes: BytesReader;
}

/** Opens the database and the object store, and waits for the bucket, however long the store is away. */
export async function openParts(context: AppContext): Promise<Parts> {
  const { config, log, stopping } = context;
  const database = openDatabase({
    url: config.timescale.url,
    poolSize: Math.min(4, config.timescale.poolSize),
    statementTimeoutMs: config.timescale.statementTimeout,
    name: 'weir dead-letters',
    log,
  });
  const store = openStore(config.minio);
  const bucket = deadLetterBucket(config.namespace);
  let missing = `no answer yet from the object store at ${config.minio.url}`;
  context.readyWhen('minio', () => missing === '' || missing);
  context.readyWhen('database', () => database.healthy || 'the database does not answer');
  context.onStop('close', 'database', database.close);
  context.onStop('close', 'object store', () => store.close());
  await retrying(() => store.ensureBucket(bucket), {
    signal: stopping,
    onRetry: (error) => {
      missing = errorMessage(error);
    },
  });
  missing = '';
  return { database, store, bucket, bytes: openBytes(database, store, config.namespace) };
}
