import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { AlertList, DeviceLiveness } from '@weir/api';
import { cutProxy, isolated, spawnApp, until } from '@weir/testkit';
import { BeatingDevice } from '../support/beating-device.ts';
import { weir } from '../support/pipeline.ts';

const SITE = 'plant-1';
const PERIOD_MS = 1_000;
const RULES = [
  { id: 'offline', kind: 'offline' },
  { id: 'edge-silent', kind: 'edge-silent', after: '5s', severity: 'critical' },
];

test('a device that falls silent is one alert; an edge, a broker or an alerter that is away is none of a device', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  const config = join(space.folder, 'weir.yaml');
  // Two minutes for the devices to come back would make the test as long; they take half a second.
  writeFileSync(config, JSON.stringify({ alerter: { rules: RULES, liveness: { reconnect: '5s' } } }));
  const broker = new URL(space.rabbitmqUrl);
  const proxy = await cutProxy(t, { host: broker.hostname, port: Number(broker.port) });
  const proxied = new URL(space.rabbitmqUrl);
  proxied.port = String(proxy.port);
  const env = { ...space.env, WEIR_CONFIG: config, WEIR_EDGE__ANONYMOUS: 'true' };
  await weir(env, 'topology', 'apply');
  const [edge, alerter, gateway] = await Promise.all([
    spawnApp(t, 'edge', { ...env, WEIR_RABBITMQ__URL: proxied.href }),
    spawnApp(t, 'alerter', env),
    spawnApp(t, 'gateway', env),
  ]);
  const ask = async <T>(path: string): Promise<T> =>
    (await (await fetch(`${gateway.url}/api/v1${path}`)).json()) as T;
  const life = (id: string): Promise<DeviceLiveness> => ask(`/devices/${id}/liveness?site=${SITE}`);
  const alerts = async (): Promise<string[]> => {
    const { alerts: found } = await ask<AlertList>('/alerts');
    return found.map(({ rule, device, state }) => `${rule} ${device} ${state}`).toSorted();
  };
  const alertsBecome = (expected: readonly string[], what: string): Promise<unknown> =>
    until(async () => (await alerts()).join() === expected.join(), {
      deadlineMs: 30_000,
      everyMs: 200,
      what,
    });
  /** What must not happen has had every chance to. */
  const longerThanSilence = (): Promise<void> => delay(7 * PERIOD_MS);

  const common = { port: 1883 + space.portOffset, site: SITE, periodMs: PERIOD_MS, jitter: 0.2 };
  const devices = Array.from(
    { length: 12 },
    (_, i) => new BeatingDevice(t, { ...common, id: `d-${i}`, onlyPings: i % 4 === 3 }),
  );
  const known = async (id: string): Promise<boolean> => (await life(id)).state === 'online';
  for (let i = 0; i < devices.length; i++)
    await until(() => known(`d-${i}`), { deadlineMs: 30_000, everyMs: 200, what: `d-${i} to be known` });
  assert.deepEqual(await alerts(), []);

  await edge.kill('SIGKILL');
  await alertsBecome(['edge-silent edge-1 firing'], 'the edge to be missed');
  await edge.restart();
  await alertsBecome(['edge-silent edge-1 resolved'], 'the edge to be heard again');
  await longerThanSilence();
  assert.deepEqual(await alerts(), ['edge-silent edge-1 resolved'], 'no device was suspected for its edge');

  proxy.refuse();
  await alerter.kill('SIGKILL');
  await delay(5 * PERIOD_MS);
  proxy.admit();
  await alerter.restart();
  await longerThanSilence();
  assert.deepEqual(await alerts(), ['edge-silent edge-1 resolved'], 'no device was suspected for the broker');
  for (const id of ['d-0', 'd-3']) {
    const { state, phi, periodMs } = await life(id);
    assert.equal(state, 'online');
    assert.ok(phi !== null && phi < 8 && periodMs !== null && Math.abs(periodMs / PERIOD_MS - 1) < 0.3, id);
  }

  for (const i of [0, 3]) (devices[i] as BeatingDevice).silent = true;
  const both = ['edge-silent edge-1 resolved', 'offline d-0 firing', 'offline d-3 firing'];
  await alertsBecome(both, 'the two to be missed');
  for (const { device, startedAt, value } of (await ask<AlertList>('/alerts?state=firing')).alerts) {
    const { state, phi, lastHeard } = await life(device);
    assert.ok(state === 'suspect' && phi !== null && phi >= 8 && value !== null && value >= 8);
    const silent = Date.parse(startedAt) - Date.parse(lastHeard ?? '');
    assert.ok(silent <= 6 * PERIOD_MS * 1.2, `${device} was suspected after ${silent} ms`);
  }
  for (const device of devices) device.silent = false;
  await alertsBecome(
    both.map((text) => text.replace('firing', 'resolved')),
    'the two to be heard again',
  );
});
