import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { isPortFree, isSameProcess, type ProcessId, requirePorts } from '@weir/infra';
import { freeOffset, type Scope, until } from '@weir/testkit';
import { PORTS, type PortName } from '@weir/topology';
import { ROOT } from './paths.ts';
import { readRun } from './supervise/run-file.ts';
import type { View } from './supervise/view.ts';

const LISTENING: readonly PortName[] = [
  'mqtt',
  'edgeHttp',
  'gateway',
  'kafka',
  'rabbitmq',
  'postgres',
  'minio',
  'redis',
];

const SERVER_PORTS: readonly PortName[] = [
  ...(['kafka', 'kafkaController', 'rabbitmq', 'rabbitmqManagement', 'rabbitmqDistribution'] as const),
  ...(['epmd', 'postgres', 'minio', 'minioConsole', 'redis'] as const),
];
/** From here on Linux hands ports out to outgoing connections. */
const FIRST_OUTGOING = 32_768;

/** An offset at which not only the apps but the servers too find their ports free, and nobody else takes them. */
async function installationOffset(scope: Scope): Promise<number> {
  for (;;) {
    const offset = await freeOffset(scope);
    const ports = SERVER_PORTS.map((name) => PORTS[name] + offset);
    if (Math.max(...ports) >= FIRST_OUTGOING) continue;
    if ((await Promise.all(ports.map(isPortFree))).every(Boolean)) return offset;
  }
}

test('up, kill -9, up again with its data, down: nothing is left behind', { timeout: 600_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-up-'));
  const offset = await installationOffset(t);
  const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('WEIR_'));
  const env = { ...Object.fromEntries(inherited), WEIR_PORTS__OFFSET: String(offset), WEIR_DATA_DIR: folder };
  const weir = async (...args: readonly string[]) => {
    const child = spawn(process.execPath, [join(ROOT, 'apps/cli/src/main.ts'), ...args], { env });
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code: child.exitCode, out, err };
  };
  t.after(async () => {
    await weir('down');
    rmSync(folder, { recursive: true, force: true });
  });

  const first = await weir('up', '--no-fleet', '--json');
  assert.equal(first.code, 0, first.err);
  const view = JSON.parse(first.out) as View;
  assert.equal(view.state, 'running', first.out);
  assert.deepEqual(
    view.apps.map(({ name, state }) => [name, state]),
    ['edge', 'aggregator', 'archiver', 'alerter', 'dead-letters', 'lag-monitor', 'gateway'].map((name) => [
      name,
      'ready',
    ]),
  );
  assert.match(first.err, /Starting Kafka: done/);
  assert.match((await weir('up', '--no-fleet')).err, /runs already/);
  assert.equal(
    (await weir('device', 'publish', 'plant-1', 'pump-7', '21.5', '--metric', 'temperature')).code,
    0,
  );
  await until(async () => (await weir('query', 'latest', 'pump-7', '--json')).out.includes('21.5'), {
    deadlineMs: 60_000,
    what: 'the reading in a window',
  });
  const ofPump = ['pump-7', '--metric', 'temperature'];
  const average = await weir('query', 'views', ...ofPump, '--kind', 'moving-average', '--size', '10s');
  assert.match(average.out, /MOVING-AVERAGE[\s\S]* 21\.5\n[\s\S]*from windows of 1s/, average.err);
  const anomaly = await weir('query', 'anomaly', ...ofPump);
  assert.match(anomaly.out, /No alarm between [\s\S]*No window is anomalous/, anomaly.err);

  const run = readRun(folder)?.run;
  assert.ok(run !== undefined);
  const left = run.apps.map(({ process: id }) => id).filter((id): id is ProcessId => id !== null);
  process.kill(run.supervisor.pid, 'SIGKILL');
  await until(() => !left.some(isSameProcess), {
    deadlineMs: 30_000,
    what: 'the apps dying with the supervisor',
  });
  assert.equal((await weir('status')).code, 1);

  const second = await weir('up', '--no-fleet', '--json');
  assert.equal(second.code, 0, second.err);
  assert.match(second.err, /former run \(process \d+\) ended without stopping/);
  assert.match(
    (await weir('query', 'latest', 'pump-7')).out,
    /temperature +21\.5/,
    'it goes on with its data',
  );

  const supervisor = readRun(folder)?.run.supervisor;
  const down = await weir('down');
  assert.equal(down.code, 0, down.err);
  assert.match(down.out, /Weir is stopped/);
  assert.ok(supervisor !== undefined && !isSameProcess(supervisor));
  await requirePorts(LISTENING.map((name) => ({ port: PORTS[name] + offset, owner: name })));
  assert.equal(await isPortFree(PORTS.mqttWs + offset), true);
});
