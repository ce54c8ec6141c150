import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { migrate, openDatabase, readAudit, recordAudit } from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

test('the audit trail keeps who, what, why and both sides of a change, and none of a change that failed', async (t) => {
  const { timescaleUrl } = await isolated(t, { timescale: true });
  await migrate(timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: timescaleUrl, log });
  atEnd(t, () => database.close());
  const entry = { actor: 'ada@host', subject: 'hot', why: 'too loud' };
  await recordAudit(database, { ...entry, action: 'alert-rule.create', after: { above: 80 } });
  await recordAudit(database, {
    ...entry,
    action: 'alert-rule.update',
    before: { above: 80 },
    after: { above: 90 },
  });
  await recordAudit(database, { ...entry, action: 'silence.create', subject: 's-1', after: 'text' });
  const failing = database.transaction('changing', async (sql) => {
    await recordAudit(sql, { ...entry, action: 'alert-rule.delete' });
    throw new Error('the change fails');
  });
  await assert.rejects(failing, /the change fails/);

  const all = await readAudit(database, { limit: 10 });
  assert.deepEqual(
    all.map(({ action }) => action),
    ['silence.create', 'alert-rule.update', 'alert-rule.create'],
  );
  const { id, at, ...rest } = all[1] ?? assert.fail();
  assert.ok(Math.abs(at.getTime() - Date.now()) < 60_000);
  assert.deepEqual(rest, {
    ...entry,
    action: 'alert-rule.update',
    before: { above: 80 },
    after: { above: 90 },
  });
  assert.equal(all[2]?.before, null);
  assert.equal(all[0]?.after, 'text');
  const actions = async (query: object) =>
    (await readAudit(database, { limit: 10, ...query })).map(({ action }) => action);
  assert.deepEqual(await actions({ action: 'alert-rule.*' }), ['alert-rule.update', 'alert-rule.create']);
  assert.deepEqual(await actions({ action: 'alert-rule.create' }), ['alert-rule.create']);
  assert.deepEqual(await actions({ subject: 's-1' }), ['silence.create']);
  assert.deepEqual(await actions({ before: id }), ['alert-rule.create']);
});
