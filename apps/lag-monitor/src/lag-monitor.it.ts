import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { migrate } from '@weir/connect-timescale';
import { freeOffset, isolated, spawnApp, until } from '@weir/testkit';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');

test('of two lag monitors one acts, and the other takes over when it is killed', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true, timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  const first = await spawnApp(t, 'lag-monitor', space.env);
  const leads = async (app: typeof first): Promise<boolean> =>
    /^weir_lag_monitor_active\{[^}]*\} 1$/m.test(await app.metrics());
  await until(() => leads(first), { deadlineMs: 30_000, what: 'the first to lead' });
  const offset = String(await freeOffset(t));
  const second = await spawnApp(t, 'lag-monitor', { ...space.env, WEIR_PORTS__OFFSET: offset });
  assert.equal(await leads(second), false);
  await first.kill('SIGKILL');
  await until(() => leads(second), { deadlineMs: 30_000, what: 'the second to lead' });
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
});
