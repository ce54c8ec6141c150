import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { openStore } from '@weir/connect-minio';
import { verifySecret } from '@weir/reading';
import { isolated } from '@weir/testkit';
import { archiveBucket, archiveKey } from '@weir/topology';
import { openCredentials } from './credential-store.ts';
import { weir, withEnvironment } from './terminal.fixture.ts';

test('topology: check names what is missing, apply creates it, twice is once', async (t) => {
  const { env, folder } = await isolated(t, { kafka: true, rabbitmq: true, timescale: true, minio: true });
  withEnvironment(t, { ...env, WEIR_DATA_DIR: folder });
  const before = await weir('topology', 'check', '--json');
  assert.equal(before.code, 1);
  const rows = JSON.parse(before.out) as { part: string; ok: boolean; detail: string }[];
  assert.deepEqual(
    rows.map(({ part, ok }) => [part, ok]),
    [
      ['kafka', false],
      ['rabbitmq', false],
      ['timescale', false],
      ['minio', false],
    ],
  );
  assert.match(rows[0]?.detail ?? '', /weir\.readings\.v1/);
  for (const round of [1, 2]) {
    const applied = await weir('topology', 'apply', '--json');
    assert.equal(applied.code, 0, `round ${round}: ${applied.out}${applied.err}`);
  }
  assert.match((await weir('topology', 'apply')).out, /timescale +database schema +ok +present/);
  // Queues show in the management API a moment after they were declared.
  let after = await weir('topology', 'check');
  for (const end = Date.now() + 15_000; after.code !== 0 && Date.now() < end; )
    after = await weir('topology', 'check');
  assert.equal(after.code, 0, after.out);
});

test('device credentials live in the database', async (t) => {
  const { env, folder, timescaleUrl } = await isolated(t, { timescale: true });
  withEnvironment(t, { ...env, WEIR_DATA_DIR: folder });
  const early = await weir('device', 'list');
  assert.equal(early.code, 1);
  assert.match(early.err, /table device_credentials is missing\. Create it with `weir topology apply`/);
  await weir('topology', 'apply'); // Only the database's part can succeed here, and only that is needed.

  const added = await weir('device', 'add', 'plant-1', 'pump-7', '--subscribe', 'broadcast/#', '--json');
  assert.equal(added.code, 0, added.err);
  const store = await openCredentials(undefined, timescaleUrl);
  t.after(() => store.close());
  const [row] = await store.list();
  assert.equal(row?.site, 'plant-1');
  assert.deepEqual(row?.subscribe, ['broadcast/#']);
  assert.equal(await verifySecret(JSON.parse(added.out).secret, row?.hash ?? ''), true);
  assert.equal((await weir('device', 'revoke', 'pump-7', '--yes')).code, 0);
  assert.notEqual((await store.list())[0]?.revokedAt, null);
  const again = await weir('device', 'add', 'plant-2', 'pump-7', '--json');
  assert.equal(again.code, 0, 'a revoked device may be added again');
  assert.deepEqual(
    (await store.list()).map(({ site, revokedAt }) => ({ site, revokedAt })),
    [{ site: 'plant-2', revokedAt: null }],
  );
});

test('archive: ls shows objects, cat prints their lines after checking them', async (t) => {
  const { env, folder, namespace, minio } = await isolated(t, { minio: true });
  withEnvironment(t, { ...env, WEIR_DATA_DIR: folder });
  const store = openStore(minio);
  t.after(() => store.close());
  const bucket = archiveBucket(namespace);
  await store.ensureBucket(bucket);
  const lines = [
    '{"partition":3,"offset":1,"line":0,"device":"a"}',
    '{"partition":3,"offset":2,"line":0,"device":"b"}',
  ];
  const raw = Buffer.from(`${lines.join('\n')}\n`);
  const meta = { count: '2', records: '2', bytes: String(raw.length) };
  const at = Date.parse('2026-01-31T12:00:00Z');
  const good = archiveKey(3, 1n, 2n, at);
  const sha256 = createHash('sha256').update(raw).digest('hex');
  await store.put(bucket, good, zstdCompressSync(raw), { ...meta, sha256 });

  const listed = await weir('archive', 'ls', '--json');
  assert.equal(listed.code, 0, listed.err);
  assert.deepEqual(
    JSON.parse(listed.out).map((row: { key: string; lines: number; last: string }) => [
      row.key,
      row.lines,
      row.last,
    ]),
    [[good, 2, '2']],
  );
  assert.match((await weir('archive', 'ls', '--partition', '4')).out, /holds no objects/);
  assert.equal((await weir('archive', 'cat')).out, raw.toString());
  assert.equal((await weir('archive', 'cat', '--device', 'b')).out, `${lines[1]}\n`);
  assert.equal((await weir('archive', 'cat', good, '--limit', '1')).out, `${lines[0]}\n`);

  const bad = archiveKey(4, 1n, 2n, at);
  await store.put(bucket, bad, zstdCompressSync(raw), { ...meta, sha256: '0'.repeat(64) });
  const damaged = await weir('archive', 'cat', bad);
  assert.equal(damaged.code, 1);
  assert.equal(damaged.out, '');
  assert.match(damaged.err, /its lines have SHA-256/);
});
