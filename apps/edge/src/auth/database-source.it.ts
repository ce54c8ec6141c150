import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { migrate, openDeviceCredentials } from '@weir/connect-timescale';
import { createLogger, Metrics } from '@weir/observe';
import { GENERATED_SECRET_COST, hashSecret } from '@weir/reading';
import { CHECKOUT, isolated } from '@weir/testkit';
import { EdgeEvents } from '../events.ts';
import { Credentials } from './credentials.ts';
import { databaseSource } from './database-source.ts';

test('credentials of the table: added, revoked, and remembered while the table is gone', async (t) => {
  const { timescaleUrl } = await isolated(t, { timescale: true });
  await migrate(timescaleUrl, join(CHECKOUT, 'infra', 'migrations'));
  const table = await openDeviceCredentials(timescaleUrl);
  t.after(() => table.close());
  const log = createLogger({ app: 'edge', level: 'fatal', format: 'json' });
  const credentials = new Credentials(
    databaseSource({ url: timescaleUrl }),
    new EdgeEvents(log, new Metrics('edge')),
  );
  t.after(() => credentials.close());

  await credentials.refresh();
  assert.equal(credentials.ready, true);
  assert.deepEqual(await credentials.login('d1', Buffer.from('s')), { ok: false, reason: 'unknown' });
  for (const device of ['d1', 'd2']) {
    const hash = await hashSecret('s', GENERATED_SECRET_COST);
    const createdAt = new Date().toISOString();
    await table.put({
      device,
      site: 'plant',
      hash,
      publish: ['extra/#'],
      subscribe: [],
      createdAt,
      revokedAt: null,
    });
  }
  await credentials.refresh();
  const login = await credentials.login('d1', Buffer.from('s'));
  assert.deepEqual(login.ok && login.credential.publish, ['extra/#']);

  const changed: string[] = [];
  credentials.onChanged = (devices) => changed.push(...devices);
  await table.revoke('d1');
  await credentials.refresh();
  assert.deepEqual(changed, ['d1']);
  assert.deepEqual(await credentials.login('d1', Buffer.from('s')), { ok: false, reason: 'revoked' });

  // a database that cannot be asked
  const away = new Credentials(
    databaseSource({ url: 'postgres://127.0.0.1:1/none' }),
    new EdgeEvents(log, new Metrics('edge')),
  );
  await away.refresh();
  assert.match(String(away.ready), /device_credentials/);
  assert.equal((await credentials.login('d2', Buffer.from('s'))).ok, true);
});
