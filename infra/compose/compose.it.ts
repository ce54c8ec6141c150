import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { loadConfig } from '@weir/config';
import { APP_PORTS, PORTS, type PortName } from '@weir/topology';
import { loadCredentials } from '../native/credentials.ts';
import { oneShot } from '../native/launch.ts';
import { provisionExtras } from '../native/provision.ts';
import { run } from '../native/run.ts';
import { composeEnvironment, portVariable } from './environment.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const OFFSET = 1_000;
let extras = '';
before(async () => {
  extras = await provisionExtras();
});

/** Runs a program of Debian's own packages on the checkout, which it sees at /mnt. */
function onCheckout(
  command: [string, ...string[]],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { program, args } = oneShot({
    root: extras,
    binds: [[ROOT, '/mnt']],
    env: { PATH: '/usr/bin:/bin', HOME: '/tmp', ...env },
    command,
  });
  return run(program, args, { what: command.join(' '), wayOut: '' });
}
const compose = (env: Readonly<Record<string, string>>, ...args: string[]) =>
  onCheckout(
    ['docker-compose', '--file', '/mnt/docker-compose.yml', '--env-file', '/dev/null', ...args],
    env,
  );

function credentials(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'weir-compose-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return loadCredentials(folder);
}

interface Effective {
  readonly services: Record<
    string,
    {
      readonly image: string;
      readonly environment?: Record<string, string>;
      readonly healthcheck?: { readonly test: string[] };
      readonly depends_on?: Record<string, { readonly condition: string }>;
      readonly ports?: readonly {
        readonly host_ip: string;
        readonly published: string;
        readonly target: number;
      }[];
    }
  >;
  readonly volumes: Record<string, unknown>;
}

test('docker-compose accepts the file; ports, health checks and order are those of the tables', async (t) => {
  const env = composeEnvironment(credentials(t), OFFSET);
  const { services } = JSON.parse(await compose(env, 'config', '--format', 'json')) as Effective;
  const servers = ['kafka', 'rabbitmq', 'timescale', 'minio', 'redis'];
  const expected = [...servers, ...Object.keys(APP_PORTS), 'topology', 'prometheus', 'grafana'].sort();
  assert.deepEqual(Object.keys(services).sort(), expected);
  const byTarget = new Map(Object.entries(PORTS).map(([name, port]) => [port as number, name as PortName]));
  for (const [name, service] of Object.entries(services)) {
    if (name !== 'topology') assert.ok(service.healthcheck, `${name} has no health check`);
    for (const { host_ip, published, target } of service.ports ?? []) {
      assert.equal(host_ip, '127.0.0.1');
      assert.equal(published, env[portVariable(byTarget.get(target)!)]);
      assert.equal(Number(published), target + OFFSET);
    }
  }
  for (const app of Object.keys(APP_PORTS)) {
    assert.equal(services[app]?.depends_on?.topology?.condition, 'service_completed_successfully');
  }
});

test('every app accepts the environment that its container gets, and finds the servers in it', async (t) => {
  const secrets = credentials(t);
  const env = composeEnvironment(secrets, OFFSET);
  const { services } = JSON.parse(await compose(env, 'config', '--format', 'json')) as Effective;
  for (const app of [...Object.keys(APP_PORTS), 'topology']) {
    const config = loadConfig({ env: services[app]?.environment ?? {} });
    assert.equal(config.ports.host, '0.0.0.0');
    assert.deepEqual(config.kafka.brokers, ['kafka:29092']);
    for (const [url, host, password] of [
      [config.rabbitmq.url, 'rabbitmq', secrets.rabbitmq.password],
      [config.timescale.url, 'timescale', secrets.postgres.password],
      [config.redis.url, 'redis', secrets.redis.password],
    ] as const) {
      assert.equal(new URL(url).hostname, host);
      assert.equal(new URL(url).password, password);
    }
    assert.equal(config.minio.secretKey, secrets.minio.secretKey);
  }
});

test('without .env the first sentence says how to write it', async () => {
  await assert.rejects(compose({}, 'config'), /write \.env first: .*infra\/compose\/env\.ts/);
});

test('Prometheus accepts its configuration', async () => {
  const answer = await onCheckout(['promtool', 'check', 'config', '/mnt/infra/prometheus/prometheus.yml']);
  assert.match(answer, /SUCCESS: 2 rule files found/);
});

test('its rules fire on what they are for, and on nothing else', async () => {
  const answer = await onCheckout(['promtool', 'test', 'rules', '/mnt/infra/prometheus/rules_test.yml']);
  assert.match(answer, /SUCCESS/);
});
