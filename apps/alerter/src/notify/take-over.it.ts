import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { applyTopology, openPublisher } from '@weir/connect-rabbitmq';
import { deleteRule, migrate, openDatabase, writeRule } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, CHECKOUT, freeOffset, isolated, spawnApp, until } from '@weir/testkit';
import { EXCHANGES, telemetryKey } from '@weir/topology';
import { receiver } from './notify.fixture.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const DEVICES = 40;

test('a rule of the API is applied at once; a kill -9 in a storm of alerts and a take-over tell each change once', async (t) => {
  const space = await isolated(t, { rabbitmq: true, timescale: true });
  await migrate(space.timescaleUrl, join(CHECKOUT, 'infra', 'migrations'));
  await applyTopology({ url: space.rabbitmqUrl });
  const database = openDatabase({ url: space.timescaleUrl, log });
  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  atEnd(t, async () => {
    await Promise.all([publisher.close(), database.close()]);
  });
  const { url, received } = await receiver(t);
  const config = join(space.folder, 'weir.yaml');
  const notifiers = [{ id: 'ops', kind: 'webhook', url, secret: 'secret-of-the-test' }];
  writeFileSync(config, JSON.stringify({ alerter: { notifiers } }));
  const env = { ...space.env, WEIR_CONFIG: config };
  const publish = async (
    readings: readonly { device: string; ts: number; value: number }[],
  ): Promise<void> => {
    const lines = readings.map((reading) => `${JSON.stringify({ ...reading, at: reading.ts })}\n`);
    const failures = await publisher.publish([
      {
        exchange: EXCHANGES.telemetry.name,
        key: telemetryKey('normal', 'plant-1', 'temperature'),
        headers: { site: 'plant-1', metric: 'temperature', class: 'normal', count: lines.length },
        contentType: 'application/x-ndjson',
        body: Buffer.from(lines.join('')),
      },
    ]);
    assert.equal(failures.size, 0);
  };
  const active = await spawnApp(t, 'alerter', env);
  const isActive = async (app: typeof active): Promise<boolean> =>
    /weir_alerter_active\{[^}]*\} 1/.test(await app.metrics());
  await until(() => isActive(active), { deadlineMs: 20_000, what: 'the first alerter to act' });
  const standby = await spawnApp(t, 'alerter', {
    ...env,
    WEIR_PORTS__OFFSET: String(await freeOffset(t)),
  });

  const rule = { metric: 'temperature', above: 80 };
  await writeRule(database, { id: 'hot', rule, enabled: true, updatedBy: 'test' });
  const begun = Date.now();
  let ts = begun;
  await until(
    async () => {
      await publish([{ device: 'first', ts: ts++, value: 99 }]);
      return received.length > 0;
    },
    { deadlineMs: 20_000, what: 'the first alert of the new rule', everyMs: 100 },
  );
  t.diagnostic(`in force and told after ${Date.now() - begun} ms`);

  const devices = Array.from({ length: DEVICES }, (_, n) => `d-${n}`);
  for (const [n, device] of devices.entries()) {
    await publish([{ device, ts: ts++, value: 99 }]);
    if (n === DEVICES / 2) await active.kill('SIGKILL');
  }
  await publish(devices.map((device) => ({ device, ts: ts + 10, value: 20 })));
  await until(() => new Set(received.map(({ id }) => id)).size === 1 + 2 * DEVICES, {
    deadlineMs: 40_000,
    what: `${1 + 2 * DEVICES} changes told by whoever took over`,
  });
  assert.ok(await isActive(standby));
  for (const device of devices) {
    const mine = received.filter(({ body }) => body.alerts[0].device === device);
    const once = [...new Map(mine.map((one) => [one.id, one.text]))];
    assert.deepEqual(
      once.map(([id]) => id.split('/')[1]),
      ['firing', 'resolved'],
      `in order, of ${device}`,
    );
    assert.ok(
      mine.every(({ id, text }) => once.some(([known, first]) => known === id && first === text)),
      'what came twice was the same message',
    );
  }
  // The rule goes, and with it its last alert.
  await deleteRule(database, 'hot');
  await until(
    () =>
      received.some(({ body }) => body.alerts[0].device === 'first' && body.alerts[0].state === 'resolved'),
    {
      deadlineMs: 20_000,
      what: 'the end of the alert whose rule went',
    },
  );
});
