import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { isolated, spawnApp } from '@weir/testkit';
import { weir, withEnvironment } from './terminal.fixture.ts';

test('alerts: rules, silences and a test of a notifier from the command line', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true, timescale: true, redis: true, minio: true });
  let answer = 204;
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(answer).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const config = join(space.folder, 'weir.yaml');
  writeFileSync(config, JSON.stringify({ alerter: { notifiers: [{ id: 'ops', kind: 'webhook', url }] } }));
  const env = { ...space.env, WEIR_CONFIG: config };
  withEnvironment(t, { ...env, WEIR_DATA_DIR: space.folder });
  assert.equal((await weir('topology', 'apply')).code, 0);
  await spawnApp(t, 'alerter', env);
  const gateway = await spawnApp(t, 'gateway', env);
  const run = async (...args: string[]) => {
    const { code, out, err } = await weir('alerts', ...args, '--url', gateway.url);
    return { code, text: out + err };
  };

  assert.match((await run('notifiers')).text, /^ops +webhook +unknown +0 +0/m);
  const good = await run('test', 'ops');
  assert.deepEqual([good.code, good.text.includes('Delivered after')], [0, true], good.text);
  assert.match(good.text, /HTTP 204/);
  answer = 403;
  const bad = await run('test', 'ops');
  assert.equal(bad.code, 1);
  assert.match(bad.text, /^Failed after .*the receiver answered HTTP 403/);
  assert.match(
    (await run('test', 'nobody')).text,
    /There is no notifier "nobody"; there are weir\.alerts, ops/,
  );

  const file = join(space.folder, 'hot.yaml');
  writeFileSync(file, 'metric: temperature\nabove: 80\nhold: 45s\n');
  const set = await run('set-rule', 'hot', '--file', file, '--why', 'new limit');
  assert.match(set.text, /^Rule hot is new: threshold temperature > 80\.$/m);
  const off = await run('set-rule', 'hot', '--file', file, '--off', '--why', 'too loud');
  assert.match(off.text, /^Rule hot is changed: threshold temperature > 80, off\.$/m);
  assert.match((await run('rules')).text, /^hot +api +off +warning +threshold temperature > 80 /m);
  writeFileSync(file, 'metric: temperature\nabvoe: 80\n');
  const typo = await run('set-rule', 'hot', '--file', file, '--why', 'x');
  assert.equal(typo.code, 1);
  assert.match(typo.text, /abvoe/);
  assert.equal((await run('remove-rule', 'hot', '--why', 'over', '--yes')).code, 0);
  assert.match((await run('rules')).text, /No rules/);

  const made = await run(
    'silence',
    'site=plant-1',
    'device=pump-*',
    '--for',
    '2h',
    '--why',
    'service',
    '--json',
  );
  const { id } = JSON.parse(made.text) as { id: string };
  assert.match(
    (await run('silences')).text,
    new RegExp(`^${id} +active +site=plant-1 device=pump-\\* +20`, 'm'),
  );
  assert.match((await run('unsilence', id, '--why', 'done')).text, /has ended/);
  assert.match((await run('silences')).text, /No silences/);
  assert.match((await run('ls')).text, /No alerts/);
  assert.match((await run('ack', id, '--why', 'x')).text, /There is no alert/);
});
