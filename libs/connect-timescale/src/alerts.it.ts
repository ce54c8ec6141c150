import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { type AlertRow, migrate, openAlertQueries, openDatabase } from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

test('alerts come newest change first, page by page, and can be filtered', async (t) => {
  const { timescaleUrl } = await isolated(t, { timescale: true });
  await migrate(timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: timescaleUrl, log });
  atEnd(t, () => database.close());
  const queries = openAlertQueries(database);
  assert.deepEqual(await queries.listAlerts({ limit: 10 }), []);
  assert.equal(await queries.firingAlerts(), 0);
  // Three of each change at the same millisecond, so that the pages break among equals.
  await database.query(
    'storing alerts',
    `INSERT INTO alerts (id, rule, site, device, metric, severity, state, value, threshold, started_at, fired_at,
                         resolved_at, updated_at)
     SELECT gen_random_uuid(), 'rule', 'site-' || n % 2, 'device-' || n, 'm',
            (ARRAY['info', 'warning', 'critical'])[n % 3 + 1], (ARRAY['firing', 'resolved'])[n % 2 + 1], n, 5,
            to_timestamp(n), to_timestamp(n), CASE WHEN n % 2 = 1 THEN to_timestamp(n + 1) END, to_timestamp(n / 3)
       FROM generate_series(0, 29) AS n`,
  );
  const all = await queries.listAlerts({ limit: 1_000 });
  assert.equal(all.length, 30);
  const paged: AlertRow[] = [];
  for (;;) {
    const last = paged.at(-1);
    const page = await queries.listAlerts({
      limit: 7,
      ...(last === undefined ? {} : { after: { updatedAt: last.updatedAt, id: last.id } }),
    });
    if (page.length === 0) break;
    paged.push(...page);
  }
  assert.deepEqual(paged, all);
  const times = all.map(({ updatedAt }) => updatedAt.getTime());
  assert.deepEqual(
    times,
    times.toSorted((a, b) => b - a),
  );
  assert.equal(await queries.firingAlerts(), 15);
  const some = await queries.listAlerts({ state: 'firing', severity: 'info', site: 'site-0', limit: 100 });
  assert.deepEqual(
    some.map(({ value }) => value),
    [24, 18, 12, 6, 0],
  );
  const [one] = await queries.listAlerts({ device: 'device-7', limit: 100 });
  assert.deepEqual([one?.state, one?.value, one?.threshold], ['resolved', 7, 5]);
  assert.equal(one?.resolvedAt?.getTime(), 8_000);
  assert.equal(one?.startedAt.getTime(), 7_000);
});

test('the table takes one open alert of a rule and series', async (t) => {
  const { timescaleUrl } = await isolated(t, { timescale: true });
  await migrate(timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: timescaleUrl, log });
  atEnd(t, () => database.close());
  const insert = (state: string) =>
    database.query(
      'storing an alert',
      `INSERT INTO alerts (id, rule, site, device, metric, severity, state, started_at, fired_at, resolved_at, updated_at)
       VALUES (gen_random_uuid(), 'r', 's', 'd', 'm', 'info', $1::text, now(), now(),
               CASE WHEN $1::text = 'resolved' THEN now() END, now())`,
      [state],
    );
  await insert('resolved');
  await insert('resolved');
  await insert('firing');
  await assert.rejects(insert('firing'), { retry: 'data' });
});
