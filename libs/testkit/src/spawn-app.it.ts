import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isolated } from './servers.ts';
import { spawnApp } from './spawn-app.ts';

test('an app is started, killed, started again and stopped', async (t) => {
  const { env } = await isolated(t);
  const app = await spawnApp(t, 'edge', { ...env, WEIR_EDGE__ANONYMOUS: 'true' });
  assert.equal((await fetch(`${app.url}/readyz`)).status, 200);
  assert.match(await app.metrics(), /^weir_edge_connections\{app="edge"\} 0$/m);
  assert.ok(app.logs.length > 0);
  const former = app.pid;
  await assert.rejects(app.restart(), /still runs/);
  await app.kill('SIGKILL');
  assert.deepEqual(await app.exited(), { code: null, signal: 'SIGKILL' });
  await app.restart();
  assert.notEqual(app.pid, former);
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  await assert.rejects(app.kill('SIGTERM'), /has ended already/);
});

test('an app that ends while starting is reported with its last words', async (t) => {
  const { env } = await isolated(t, { redis: true });
  const failing = spawnApp(t, 'edge', { ...env, WEIR_EDGE__NO_SUCH_SETTING: '1' });
  await assert.rejects(failing, /edge ended: \{"code":2,"signal":null\}[\s\S]*no such setting/);
});
