import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore } from '@weir/connect-minio';
import { enterObjects, migrate, missingObjects, openDatabase } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { archiveBucket, archiveKey } from '@weir/topology';
import { ArchiveWatch } from './watch-archive.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../../infra/migrations');
const DAY_MS = 86_400_000;
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const silent = { objectsMissing: () => {}, objectsBack: () => {}, objectsAdopted: () => {} };

test('an object that is taken away is missing with its readings, old ones in their turn; what expired is not', async (t) => {
  const space = await isolated(t, { minio: true, timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  atEnd(t, () => database.close());
  const store = openStore(space.minio);
  atEnd(t, async () => store.close());
  const bucket = archiveBucket(space.namespace);
  await store.ensureBucket(bucket);
  const now = Date.now();
  const put = async (first: number, at: number, metadata: Record<string, string>): Promise<string> => {
    const key = archiveKey(3, BigInt(first), BigInt(first + 9), at);
    await store.put(bucket, key, Buffer.from('x'), metadata);
    return key;
  };
  const missing = async (): Promise<[string, number | null, number][]> =>
    (await missingObjects(database, bucket, 10)).map(({ key, readings, lines }) => [key, readings, lines]);
  const watch = new ArchiveWatch({
    database,
    store,
    bucket,
    keepMs: Number.POSITIVE_INFINITY,
    events: silent,
  });

  // nobody entered them: of an earlier version, and of an archiver that died behind its put
  const old = await put(0, now - 30 * 3_600_000, { count: '4' });
  const fresh = await put(10, now, { count: '5', readings: '35' });
  const stays = await put(20, now, { count: '6', readings: '6' });
  await watch.round();
  assert.deepEqual(await missing(), []);

  await store.remove(bucket, [old, fresh]);
  await watch.round();
  assert.deepEqual(
    (await missing()).sort(),
    [
      [fresh, 35, 5],
      [old, null, 4],
    ].sort(),
  );
  await put(10, now, { count: '5', readings: '35' });
  await watch.round();
  assert.deepEqual(await missing(), [[old, null, 4]]);

  // entered by the archiver, never seen in a listing, and gone
  const unseen = { key: archiveKey(5, 0n, 9n, now), partition: 5, first: 0n, last: 9n };
  const stored = { readings: 11, lines: 11, bytes: 1 };
  await enterObjects(database, bucket, [{ ...unseen, ...stored, storedAt: new Date(now) }]);
  await watch.round();
  assert.deepEqual((await missing())[1], [unseen.key, 11, 11]);

  // retention deletes whole days: what is as old is expired, what is not is missing
  const later = new ArchiveWatch({
    ...{ database, store, bucket, keepMs: 2 * DAY_MS, events: silent },
    now: () => now + 2 * DAY_MS,
  });
  await store.remove(bucket, [stays]);
  await later.round();
  assert.deepEqual(await missing(), []);
});
