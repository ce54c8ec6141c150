import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { PORTS, type PortName } from '@weir/topology';
import { parse } from 'yaml';
import { newCredentials } from '../native/credentials.ts';
import { VERSIONS } from '../native/provision.ts';
import { composeEnvironment, PLACEHOLDERS, portVariable } from './environment.ts';
import { renderCompose, renderedFiles } from './render.ts';
import { IMAGES } from './services.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const compose = renderedFiles().get('docker-compose.yml') ?? '';

test('the rendered files in the checkout are up to date', () => {
  assert.deepEqual(renderCompose({ write: false }), []);
});

test('.env gives every variable that docker-compose.yml leaves open', () => {
  const credentials = newCredentials();
  const env = composeEnvironment(credentials, 1_000);
  const open = new Set([...compose.matchAll(/\$\{(\w+)/g)].map((match) => match[1] ?? ''));
  assert.ok(open.size > 10);
  for (const name of open) assert.ok(env[name], name);
  assert.equal(env.WEIR_PORT_EDGE_HTTP, String(PORTS.edgeHttp + 1_000));
  assert.equal(env.WEIR_REDIS_PASSWORD, credentials.redis.password);
});

test('what native stack and containers must agree on is the same', () => {
  assert.equal(portVariable('rabbitmqManagement'), 'WEIR_PORT_RABBITMQ_MANAGEMENT');
  assert.ok(IMAGES.kafka.endsWith(`:${VERSIONS.kafka}`));
  const dockerfile = readFileSync(join(ROOT, 'infra/docker/Dockerfile'), 'utf8');
  assert.ok(dockerfile.includes(`MINIO_VERSION=${VERSIONS.minio}\n`));
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const nodes = [...dockerfile.matchAll(/FROM node:(\S+?)-/g)].map((match) => match[1]);
  assert.deepEqual(new Set(nodes), new Set([dependencies.node]));
  const { postgres, rabbitmq } = newCredentials();
  for (const key of ['user', 'database'] as const) assert.equal(PLACEHOLDERS.postgres[key], postgres[key]);
  for (const key of ['user', 'vhost'] as const) assert.equal(PLACEHOLDERS.rabbitmq[key], rabbitmq[key]);
});

test('every image is pinned and every port is published on the loopback address only', () => {
  for (const image of Object.values(IMAGES)) assert.match(image, /:v?\d[\w.-]+$/);
  const names = new Set(Object.keys(PORTS).map((name) => portVariable(name as PortName)));
  const published = [...compose.matchAll(/^ +- (\S*\$\{WEIR_PORT_\S+)$/gm)].map((match) => match[1] ?? '');
  assert.ok(published.length >= 15);
  for (const port of published) {
    const [, name = ''] = /^127\.0\.0\.1:\$\{(WEIR_PORT_\w+):-\d+\}:\d+$/.exec(port) ?? [];
    assert.ok(names.has(name), port);
  }
});

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly record?: string;
      readonly alert?: string;
      readonly expr: string;
      readonly annotations?: Readonly<Record<string, string>>;
    }[];
  }[];
}
const rules = globSync('infra/prometheus/rules/*.yml', { cwd: ROOT }).flatMap((path) =>
  (parse(readFileSync(join(ROOT, path), 'utf8')) as Rules).groups.flatMap((group) => group.rules),
);

test('every metric that a dashboard or a rule names is one that an app shows, or a recorded one', () => {
  const dashboards = globSync('infra/grafana/dashboards/*.json', { cwd: ROOT });
  assert.ok(dashboards.length >= 3 && rules.length > 20);
  const sources = globSync('{apps,libs}/*/src/**/*.ts', { cwd: ROOT }).map((path) =>
    readFileSync(join(ROOT, path), 'utf8'),
  );
  for (const text of [
    ...dashboards.map((path) => readFileSync(join(ROOT, path), 'utf8')),
    ...rules.map(({ expr }) => expr),
  ]) {
    const named = [...text.matchAll(/\b(?:weir|kafka)_\w+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ''),
    );
    const recorded = [...text.matchAll(/\bweir:[\w:]+/g)].map(([name]) => name);
    assert.ok(named.length + recorded.length > 0 || text.startsWith('up'), text);
    for (const name of named)
      assert.ok(
        sources.some((source) => source.includes(`'${name}'`)),
        name,
      );
    for (const name of recorded)
      assert.ok(
        rules.some(({ record }) => record === name),
        name,
      );
  }
});

test('every alert leads to its part of a runbook, and every part belongs to an alert', () => {
  const alerts = rules.filter(({ alert }) => alert !== undefined);
  const led = new Set<string>();
  for (const { alert, annotations } of alerts) {
    const [path = '', anchor] = (annotations?.runbook_url ?? '').split('#');
    const page = readFileSync(join(ROOT, path), 'utf8');
    assert.ok(page.includes(`\n## ${alert}\n`), `${alert} in ${path}`);
    assert.equal(anchor, alert?.toLowerCase());
    led.add(`${alert}`);
  }
  for (const path of globSync('infra/prometheus/runbooks/*.md', { cwd: ROOT }))
    for (const [, title = ''] of readFileSync(join(ROOT, path), 'utf8').matchAll(/^## (.+)$/gm))
      assert.ok(led.has(title), `${title} of ${path} belongs to no alert`);
});
