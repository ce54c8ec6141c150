import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { isTransient, WeirError } from '@weir/flow';
import { atEnd, isolated } from '@weir/testkit';
import { archiveBucket, archiveKey } from '@weir/topology';
import { Client } from 'minio';
import { ensureBucket, openArchive, openStore } from './index.ts';

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test('objects keep their bytes and metadata, and are listed by prefix in order', async (t) => {
  const space = await isolated(t, { minio: true });
  const bucket = archiveBucket(space.namespace);
  assert.equal(await ensureBucket(space.minio, bucket), true);
  assert.equal(await ensureBucket(space.minio, bucket), false);
  const store = openStore(space.minio);
  atEnd(t, () => store.close());
  const body = Buffer.from([0, 1, 2, 255]);
  for (const key of ['a/2', 'a/1', 'b/1']) await store.put(bucket, key, body, { count: '3', 'min-at': '17' });
  await store.put(bucket, 'a/empty', Buffer.alloc(0));
  assert.deepEqual(
    (await collect(store.list(bucket, 'a/'))).map(({ key, size }) => [key, size]),
    [
      ['a/1', 4],
      ['a/2', 4],
      ['a/empty', 0],
    ],
  );
  const got = await store.get(bucket, 'a/1');
  assert.deepEqual(got.body, body);
  assert.equal(got.metadata.count, '3');
  assert.equal(got.metadata['min-at'], '17');
  const found = await store.stat(bucket, 'a/1');
  assert.equal(found?.size, 4);
  assert.equal(found?.metadata['min-at'], '17');
  assert.equal(await store.stat(bucket, 'a/none'), null);
  await assert.rejects(
    store.get(bucket, 'a/none'),
    (error: unknown) =>
      error instanceof WeirError && error.retry === 'data' && /reading a\/none/.test(error.message),
  );
  await store.remove(bucket, ['a/1', 'a/2']);
  assert.equal((await collect(store.list(bucket, 'a/'))).length, 1);
});

test('away and frozen are transient, wrong keys are fatal', async (t) => {
  const space = await isolated(t, { minio: true });
  const away = openStore({ ...space.minio, url: 'http://127.0.0.1:1' });
  await assert.rejects(away.put('b-b', 'k', Buffer.from('x')), isTransient);
  const frozen = createServer(() => undefined);
  await new Promise<void>((resolve) => frozen.listen(0, '127.0.0.1', resolve));
  const address = frozen.address();
  assert.ok(address !== null && typeof address === 'object');
  const slow = openStore({ ...space.minio, url: `http://127.0.0.1:${address.port}`, idleTimeoutMs: 200 });
  await assert.rejects(slow.put('b-b', 'k', Buffer.from('x')), /no answer in 200 ms/);
  await assert.rejects(slow.put('b-b', 'k', Buffer.from('x')), isTransient);
  const wrong = openStore({ ...space.minio, secretKey: 'not-the-key' });
  await assert.rejects(
    ensureBucket({ ...space.minio, secretKey: 'not-the-key' }, archiveBucket(space.namespace)),
    (error: unknown) =>
      error instanceof WeirError && error.retry === 'fatal' && error.code === 'WEIR_UNAUTHORIZED',
  );
  for (const store of [away, slow, wrong]) store.close();
  frozen.close();
});

test('the archive reader selects by partition and time, and refuses bytes that were changed', async (t) => {
  const space = await isolated(t, { minio: true });
  const bucket = archiveBucket(space.namespace);
  const store = openStore(space.minio);
  const archive = openArchive({ ...space.minio, bucket });
  atEnd(t, () => {
    store.close();
    archive.close();
  });
  await store.ensureBucket(bucket);
  const noon = Date.parse('2026-03-01T12:10:00Z');
  const put = async (partition: number, first: bigint, atMs: number, text: string, sha256?: string) => {
    const key = archiveKey(partition, first, first, atMs);
    const digest = sha256 ?? createHash('sha256').update(text).digest('hex');
    await store.put(bucket, key, zstdCompressSync(text), {
      sha256: digest,
      count: '1',
      'min-at': String(atMs),
    });
    return key;
  };
  const early = await put(1, 0n, noon - 86_400_000, '{"partition":1,"offset":0,"line":0}\n');
  const late = await put(
    1,
    1n,
    noon,
    '{"partition":1,"offset":1,"line":0}\n{"partition":1,"offset":1,"line":1}\n',
  );
  const other = await put(2, 0n, noon, '{"partition":2,"offset":0,"line":0}\n', 'f'.repeat(64));
  await store.put(bucket, 'raw/v1/readme.txt', Buffer.from('not an archive object'));
  const keys = async (query: Parameters<typeof archive.listObjects>[0]) =>
    (await collect(archive.listObjects(query))).map(({ key }) => key);
  assert.deepEqual(await keys({}), [early, late, other]);
  assert.deepEqual(await keys({ partition: 1 }), [early, late]);
  assert.deepEqual(await keys({ from: noon, to: noon + 1 }), [late, other]);
  assert.deepEqual(await keys({ to: noon - 3_600_000 }), [early]);
  assert.deepEqual(await keys({ partition: 1, from: noon, to: noon + 1 }), [late]);
  assert.deepEqual(await keys({ partition: 1, from: noon - 86_400_000, to: noon + 1 }), [early, late]);
  const lines = await collect(archive.readLines({ key: late }));
  assert.deepEqual(
    lines.map(({ line }) => [Number(line.offset), line.line]),
    [
      [1, 0],
      [1, 1],
    ],
  );
  assert.equal(lines[1]?.text, '{"partition":1,"offset":1,"line":1}');
  assert.equal((await archive.info({ key: late })).minAt, noon);
  const records = await archive.readRecords({ key: early, first: 0n, last: 0n });
  assert.throws(() => [...records], /no place in the log/);
  await assert.rejects(collect(archive.readLines({ key: other })), /the archiver wrote ffff/);
  await assert.rejects(archive.readRecords({ key: other, first: 0n, last: 0n }), /the archiver wrote ffff/);
});

const DAY = 86_400_000;

test('the lifetime of the archive is laid on the bucket, beside rules of others, and taken off again', async (t) => {
  const space = await isolated(t, { minio: true });
  const bucket = archiveBucket(space.namespace);
  const client = clientOf(space.minio);
  const store = openStore(space.minio);
  atEnd(t, () => store.close());
  const forever = { keepMs: Number.POSITIVE_INFINITY, lock: 'none', lockForMs: 30 * DAY } as const;
  const month = { ...forever, keepMs: 30 * DAY };
  assert.equal(await store.ensureBucket(bucket, forever), true);
  assert.deepEqual(await store.retentionDifferences(bucket, forever), []);
  await client.setBucketLifecycle(bucket, {
    Rule: [{ ID: 'of-others', Status: 'Enabled', Filter: { Prefix: 'tmp/' }, Expiration: { Days: 1 } }],
  } as unknown as Parameters<typeof client.setBucketLifecycle>[1]);
  assert.match((await store.retentionDifferences(bucket, month)).join(), /keeps objects for ever.*30 days/);
  for (let i = 0; i < 2; i++) assert.equal(await store.ensureBucket(bucket, month), false);
  assert.deepEqual(await store.retentionDifferences(bucket, month), []);
  const names = async () =>
    [(await client.getBucketLifecycle(bucket))?.Rule ?? []]
      .flat()
      .map(({ ID }) => ID)
      .sort();
  assert.deepEqual(await names(), ['of-others', 'weir-archive', 'weir-archive-markers']);
  await store.ensureBucket(bucket, forever);
  assert.deepEqual(await names(), ['of-others']);
  // A lock cannot be had for a bucket that was made without.
  const locked = { ...forever, lock: 'governance' } as const;
  await store.ensureBucket(bucket, locked);
  assert.match((await store.retentionDifferences(bucket, locked)).join(), /only with a new bucket/);
});

test('an object of a locked bucket cannot be deleted', async (t) => {
  const space = await isolated(t, { minio: true });
  const bucket = archiveBucket(space.namespace);
  const client = clientOf(space.minio);
  const store = openStore(space.minio);
  const locked = { keepMs: 60 * DAY, lock: 'governance', lockForMs: 7 * DAY } as const;
  assert.equal(await store.ensureBucket(bucket, locked), true);
  assert.deepEqual(await store.retentionDifferences(bucket, locked), []);
  assert.match(
    (await store.retentionDifferences(bucket, { ...locked, lockForMs: 8 * DAY })).join(),
    /locks objects \(governance\) for 7 days, the settings say governance for 8 days/,
  );
  const key = archiveKey(0, 0n, 0n, Date.now());
  const body = Buffer.from('as archived');
  await store.put(bucket, key, body, { count: '1' });
  await store.put(bucket, key, Buffer.from('replaced'), { count: '1' });
  const versions: { name: string; versionId: string }[] = [];
  for await (const item of client.listObjects(bucket, '', true, { IncludeVersion: true }))
    versions.push(item);
  atEnd(t, async () => {
    for (const { versionId } of versions)
      await client.removeObject(bucket, key, { versionId, governanceBypass: true });
    store.close();
  });
  assert.equal(versions.length, 2);
  for (const { versionId } of versions)
    await assert.rejects(client.removeObject(bucket, key, { versionId }), /WORM protected|retention/i);
  const first = versions.at(-1)?.versionId ?? '';
  const stream = await client.getObject(bucket, key, { versionId: first });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  assert.deepEqual(Buffer.concat(chunks), body);
});

function clientOf({
  url,
  accessKey,
  secretKey,
}: {
  url: string;
  accessKey: string;
  secretKey: string;
}): Client {
  const { hostname, port } = new URL(url);
  return new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
}
