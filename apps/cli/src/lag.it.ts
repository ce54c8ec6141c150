import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { lagDetail, lagExplanation, lagList } from '@weir/api';
import { openPublisher } from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { isolated, spawnApp, until } from '@weir/testkit';
import { QUEUES } from '@weir/topology';
import { runCommand } from './program.ts';
import { weir, withEnvironment } from './terminal.fixture.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const QUEUE = QUEUES.alerterTelemetry.name;

test('lag from the command line: the list, one queue, why, and watching', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true, timescale: true, redis: true, minio: true });
  withEnvironment(t, { ...space.env, WEIR_DATA_DIR: space.folder });
  assert.equal((await weir('topology', 'apply')).code, 0);
  const gateway = await spawnApp(t, 'gateway', space.env);
  const run = (...args: string[]) => weir('lag', ...args, '--url', gateway.url);
  const away = await run('ls');
  assert.equal(away.code, 1);
  assert.match(away.err, /^weir: Asking the gateway for \/api\/v1\/lag: No lag monitor answers/);

  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  const message = { exchange: '', key: QUEUE, body: Buffer.from('{}'), contentType: 'application/json' };
  await publisher.publish(Array.from({ length: 7 }, () => message));
  await publisher.close();
  await spawnApp(t, 'lag-monitor', { ...space.env, WEIR_LAG_MONITOR__INTERVAL: '1s' });
  await until(async () => new RegExp(`^STOP +rabbitmq +${QUEUE} +7 `, 'm').test((await run('ls')).out), {
    deadlineMs: 60_000,
    what: 'the queue to be STOP in the list',
    everyMs: 500,
  });
  assert.match((await run('ls')).out, /^VERDICT +SYSTEM +GROUP OR QUEUE +LAG /);

  const told = async (): Promise<true> => {
    const out = Object.assign(new PassThrough(), { isTTY: true });
    await runCommand(['lag', 'ls', '--url', gateway.url], { out, err: new PassThrough(), env: {} });
    assert.ok(String(out.read()).includes('\u001b[31mSTOP\u001b[39m'), 'in red on a terminal');
    const shown = await run('show', QUEUE);
    assert.match(
      shown.out,
      /^STOP since 20.*: 7 records wait and nobody has consumed .* \(rule 6, stopped\)/,
    );
    assert.equal(lagDetail.parse(JSON.parse((await run('show', QUEUE, '--json')).out)).group.lag, 7);
    const explained = await run('explain', QUEUE, '--system', 'rabbitmq');
    assert.match(explained.out, /^likely cause: no-consumer\. /m);
    assert.match(explained.out, /^what to do: /m);
    lagExplanation.parse(JSON.parse((await run('explain', QUEUE, '--json')).out));
    return true;
  };
  // A measurement that misses its deadline makes everything UNKNOWN until the next one.
  await until(told, { deadlineMs: 60_000, what: 'the queue in every form', everyMs: 500 });
  const none = await run('show', 'nobody');
  assert.deepEqual([none.code, /There is no such group or queue/.test(none.err)], [1, true], none.err);

  const main = join(import.meta.dirname, 'main.ts');
  const watching = spawn(process.execPath, [main, 'lag', 'watch', '--json', '--url', gateway.url], {
    env: process.env,
  });
  t.after(() => watching.kill('SIGKILL'));
  const ended = once(watching, 'exit');
  const times: string[] = [];
  for await (const line of createInterface({ input: watching.stdout })) {
    times.push(lagList.parse(JSON.parse(line)).at);
    if (times.length === 3) watching.kill('SIGINT');
  }
  assert.deepEqual(await ended, [0, null]);
  assert.ok(new Set(times).size > 1, 'it measures anew');
});
