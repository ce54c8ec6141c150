import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { migrate, openDatabase } from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

test('alerts that an older version had not told yet are told after the migration, once each', async (t) => {
  const { timescaleUrl, folder } = await isolated(t, { timescale: true });
  const older = join(folder, 'older');
  mkdirSync(older);
  for (const file of readdirSync(MIGRATIONS).filter((name) => name < '0010'))
    copyFileSync(join(MIGRATIONS, file), join(older, file));
  await migrate(timescaleUrl, older);
  const database = openDatabase({ url: timescaleUrl, log });
  atEnd(t, () => database.close());
  await database.query(
    'storing alerts',
    `INSERT INTO alerts (id, rule, site, device, metric, severity, state, value, fired_value, threshold, started_at,
                         fired_at, resolved_at, updated_at, firing_sent, resolved_sent)
     SELECT gen_random_uuid(), 'r', 's', device, 'm', 'info', state, 1, 9, 5, '2026-01-01Z', '2026-01-01T00:00:01Z',
            CASE WHEN state = 'resolved' THEN '2026-01-01T00:00:02.5Z'::timestamptz END, '2026-01-01T00:00:03Z',
            firing_sent, resolved_sent
       FROM (VALUES ('told', 'resolved', true, true), ('end untold', 'resolved', true, false),
                    ('untold', 'resolved', false, false), ('fires', 'firing', false, false))
            AS a (device, state, firing_sent, resolved_sent)`,
  );
  await migrate(timescaleUrl, MIGRATIONS);
  const rows = await database.query<{ alert: Record<string, unknown> }>(
    'reading changes',
    `SELECT alert FROM alert_transitions
      WHERE seq > (SELECT seq FROM alert_deliveries_planned) ORDER BY alert->>'device', seq`,
  );
  assert.deepEqual(
    rows.map(({ alert }) => `${alert.device} ${alert.state} ${alert.value} ${alert.resolvedAt}`),
    [
      'end untold resolved 1 2026-01-01T00:00:02.500Z',
      'fires firing 9 null',
      'untold firing 9 null',
      'untold resolved 1 2026-01-01T00:00:02.500Z',
    ],
  );
  assert.equal(rows[0]?.alert.startedAt, '2026-01-01T00:00:00.000Z');
});
