import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type OutgoingMessage, openPublisher, queueDepths, vhostOf } from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, type Scope, spawnApp, until, withDatabase } from '@weir/testkit';
import { EXCHANGES, QUEUES, TABLES, telemetryKey } from '@weir/topology';
import { ScriptedDevice } from '../support/device.ts';
import { weir } from '../support/pipeline.ts';

const BACKLOG = 100_000;
const PROBES = 40;
const PROBE_EVERY_MS = 250;
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

const normal = (device: number): OutgoingMessage => ({
  exchange: EXCHANGES.telemetry.name,
  key: telemetryKey('normal', 'plant-1', 'heat'),
  headers: { site: 'plant-1', metric: 'heat', class: 'normal', count: 1 },
  contentType: 'application/x-ndjson',
  body: Buffer.from(`{"device":"d-${device}","ts":${Date.now()},"value":20,"at":${Date.now()}}\n`),
});

/** A webhook that keeps when which device's alert came. */
async function webhook(scope: Scope) {
  const heard = new Map<string, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const at = performance.now();
      for (const [device = ''] of Buffer.concat(chunks)
        .toString()
        .matchAll(/probe-\d+/g))
        if (!heard.has(device)) heard.set(device, at);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(scope, async () => {
    server.closeAllConnections();
    server.close();
  });
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

test('critical readings overtake 100,000 normal messages at an alerter that takes 50 ms for each', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  const { heard, url } = await webhook(t);
  const config = join(space.folder, 'weir.yaml');
  const hot = { severity: 'critical', above: 90 };
  writeFileSync(
    config,
    JSON.stringify({
      edge: { forward: { classes: [{ metric: 'smoke', above: 50 }] } },
      alerter: {
        rules: [
          { id: 'hot', metric: 'heat', ...hot },
          { id: 'smoke', metric: 'smoke', ...hot },
        ],
        notifiers: [
          { id: 'hook', kind: 'webhook', url, secret: 'a-secret-of-the-test-and-long', groupWait: '0s' },
        ],
      },
    }),
  );
  const env = { ...space.env, WEIR_CONFIG: config, WEIR_EDGE__ANONYMOUS: 'true' };
  await weir(env, 'topology', 'apply');
  // Each reading that a rule looks at now costs its consumer 50 ms.
  await withDatabase(space.timescaleUrl, (client) =>
    client.query(`
      CREATE FUNCTION drag() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
      CREATE TRIGGER drag BEFORE INSERT ON ${TABLES.alertRuleState} FOR EACH ROW EXECUTE FUNCTION drag()`),
  );
  await spawnApp(t, 'edge', env);
  await spawnApp(t, 'alerter', env);
  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  atEnd(t, () => publisher.close());
  let published = 0;
  const grow = async (count: number): Promise<void> => {
    const messages = Array.from({ length: count }, () => normal(published++));
    assert.equal((await publisher.publish(messages)).size, 0);
  };
  while (published < BACKLOG) await grow(5_000);

  const device = new ScriptedDevice(t, { port: 1883 + space.portOffset, id: 'probe', qos: 1, window: 20 });
  await device.start();
  const sent: number[] = [];
  for (let i = 0; i < PROBES; i++) {
    const payload = JSON.stringify({ ts: Date.now(), seq: i, value: 100 });
    sent.push(performance.now());
    device.send({ topic: `telemetry/v1/probe-${i}/probe/smoke`, payload });
    // Faster than it is drained: twenty a second.
    await grow(20);
    await delay(PROBE_EVERY_MS);
  }
  await until(() => heard.size >= PROBES, {
    deadlineMs: 60_000,
    what: `${PROBES} alerts at the webhook, now ${heard.size}`,
  });
  const took = sent.map((at, i) => (heard.get(`probe-${i}`) ?? Number.NaN) - at).sort((a, b) => a - b);
  const rank = (share: number): number => Math.round(took[Math.floor((PROBES - 1) * share)] as number);
  const depths = await queueDepths(space.managementUrl, vhostOf(space.rabbitmqUrl));
  const depth = depths.find(({ name }) => name === QUEUES.alerterTelemetry.name);
  const waiting = (depth?.ready ?? 0) + (depth?.unacked ?? 0);
  t.diagnostic(
    `publish to webhook: p50 ${rank(0.5)} ms, p99 ${rank(0.99)} ms, at most ${rank(1)} ms; ${waiting} normal messages wait`,
  );
  assert.ok(waiting > BACKLOG * 0.9, `the backlog of ${waiting} was there all the time`);
  // A quiet machine needs less than 1,000 ms; 50 ms for each message before it would be more than an hour.
  assert.ok(rank(0.5) < 10_000, `half of the alerts took more than ${rank(0.5)} ms`);
});
