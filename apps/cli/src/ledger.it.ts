import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { ledger } from '@weir/api';
import { enterObjects, markObjects, openDatabase } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, spawnApp, until } from '@weir/testkit';
import { archiveBucket } from '@weir/topology';
import { weir, withEnvironment } from './terminal.fixture.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const NOBODY = '127.0.0.1:9';

test('ledger from the command line: nobody knows, it balances, something is missing, and watching', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true, timescale: true, redis: true, minio: true });
  withEnvironment(t, { ...space.env, WEIR_DATA_DIR: space.folder });
  assert.equal((await weir('topology', 'apply')).code, 0);
  const gateway = await spawnApp(t, 'gateway', space.env);
  const run = (...args: string[]) => weir('ledger', ...args, '--url', gateway.url);
  const away = await run();
  assert.deepEqual([away.code, away.out], [1, '']);
  assert.match(away.err, /^weir: Asking the gateway for \/api\/v1\/ledger: No lag monitor answers/);

  const env = { ...space.env, WEIR_EDGE__ANONYMOUS: 'true' };
  const blind = { WEIR_TIMESCALE__URL: `postgresql://weir:weir@${NOBODY}/weir` };
  const monitor = await spawnApp(t, 'lag-monitor', { ...env, ...blind }, { waitReady: false });
  await until(async () => (await run()).err.includes('has not been balanced yet: '), {
    deadlineMs: 30_000,
    what: 'a monitor that says that it cannot tell, and why',
  });
  await monitor.kill('SIGKILL');
  await monitor.restart({ WEIR_TIMESCALE__URL: space.timescaleUrl });
  await until(async () => (await run()).code === 0, { deadlineMs: 30_000, what: 'a balance' });
  const lonely = await run();
  assert.match(
    lonely.out,
    /^The ledger balances\. Not known at the moment: the edge at http:.* Balanced at 20/,
  );
  assert.match(lonely.out, /^spool +readings +– +– +– /m, 'without an edge nothing is known of the spool');

  const edge = await spawnApp(t, 'edge', env);
  const payload = Array.from({ length: 7 }, (_, i) => ({ ts: Date.now() + i, values: { value: i } }));
  const response = await fetch(`${edge.url}/ingest/v1/plant/pump-1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(payload),
  });
  assert.ok(response.ok, await response.text());
  const counted = /^spool +readings +7 +7 +– +– +0 +0 +0 +0$/m;
  await until(async () => counted.test((await run()).out), {
    ...{ deadlineMs: 30_000, what: 'seven readings sent' },
  });
  const table = (await run()).out;
  assert.match(
    table,
    /^HOP +COUNTS +ACCEPTED +SENT +STORED +DUPLICATES +DEAD LETTERS +DROPPED +IN FLIGHT +RESIDUAL$/m,
  );
  assert.match(table, /^kafka +readings +7 +– +– +– +– +– +7 +0$/m, 'nobody makes windows of them');
  assert.match(table, /^total .* 7 +0$/m);
  assert.match(table, /^alerter +readings +– +7 .* –$/m, 'no residual where none can be known');

  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 1 });
  atEnd(t, () => database.close());
  const bucket = archiveBucket(space.namespace);
  const key = 'raw/v1/dt=2026-01-01/hour=00/p3-0-9.ndjson.zst';
  const place = { partition: 3, first: 0n, last: 9n, lines: 10, bytes: 100, storedAt: new Date() };
  await enterObjects(database, bucket, [{ key, ...place, readings: 1_400 }]);
  await markObjects(database, bucket, [key], 'missing');
  await until(async () => (await run()).code === 1, { deadlineMs: 30_000, what: 'a residual' });
  const missing = await run();
  assert.match(missing.out, /^1,400 readings are missing: 1,400 at archive\./);
  assert.match(missing.out, /^archive +readings .* 1,400$/m);
  assert.match(
    missing.out,
    new RegExp(`^ {2}1,400 at archive: partition 3, ${key}$|^ {2}1,400 at archive: ${key}$`, 'm'),
  );
  assert.match(missing.out, /weir alerts ack <id> --why/);
  const said = await run('--json');
  assert.deepEqual([said.code, ledger.parse(JSON.parse(said.out)).residual], [1, 1_400]);

  const main = join(import.meta.dirname, 'main.ts');
  const watching = spawn(process.execPath, [main, 'ledger', '--watch', '--json', '--url', gateway.url], {
    env: process.env,
  });
  t.after(() => watching.kill('SIGKILL'));
  const ended = once(watching, 'exit');
  const times: string[] = [];
  for await (const line of createInterface({ input: watching.stdout })) {
    times.push(ledger.parse(JSON.parse(line)).at);
    if (new Set(times).size === 2) watching.kill('SIGINT');
  }
  assert.deepEqual(await ended, [0, null]);
});
