import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { PORTS, type PortName } from '@weir/topology';
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

test('the dashboard and the apps name the same metrics', () => {
  const dashboard = readFileSync(join(ROOT, 'infra/grafana/dashboards/weir.json'), 'utf8');
  const sources = globSync('{apps,libs}/*/src/**/*.ts', { cwd: ROOT }).map((path) =>
    readFileSync(join(ROOT, path), 'utf8'),
  );
  const named = new Set(
    [...dashboard.matchAll(/\bweir_\w+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, '')),
  );
  assert.ok(named.size > 5);
  for (const name of named)
    assert.ok(
      sources.some((text) => text.includes(`'${name}'`)),
      name,
    );
});
