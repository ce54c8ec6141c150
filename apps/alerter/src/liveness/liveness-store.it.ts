import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { migrate, openDatabase } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { livenessStore } from './liveness-store.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

test('devices are kept, replaced and forgotten; the newest are loaded first', async (t) => {
  const space = await isolated(t, { timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: space.timescaleUrl, log });
  atEnd(t, () => database.close());
  const store = livenessStore(database);
  const device = (name: string, lastHeard: number) => ({
    site: 'plant',
    device: name,
    edge: 'edge-1',
    lastHeard,
    history: Buffer.from([lastHeard, 0, 1, 2]),
  });
  await store.save([device('a', 10), device('b', 20.4), device('c', 30), device('old', 1)]);
  await store.save([device('a', 40)]);
  await store.forget([{ site: 'plant', device: 'c' }]);
  assert.deepEqual(await store.load(5, 10), [device('a', 40), { ...device('b', 20.4), lastHeard: 20 }]);
  assert.deepEqual(await store.load(0, 1), [device('a', 40)]);
  assert.equal((await store.load(0, 10)).length, 2, 'what was too old is gone');
});
