import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { removeDatabase, withDatabase } from './database.ts';
import { freeOffset } from './free-ports.ts';
import { atEnd, type Scope } from './scope.ts';
import { TEST_SERVERS, type TestServer, type TestStack, testStack } from './stack.ts';

export interface Isolated {
  /** Prefix of everything this test creates on the shared servers, `t` and eight hexadecimal digits. */
  readonly namespace: string;
  /** Every `WEIR_…` variable an app needs to work in this namespace, with ports and folders of its own. */
  readonly env: Readonly<Record<string, string>>;
  /** A temporary folder, removed at the end. */
  readonly folder: string;
  readonly stack: TestStack;
  /** Offset of the app ports; free, and held for this test. */
  readonly portOffset: number;
  readonly brokers: readonly string[];
  /** AMQP address of this test's own virtual host. */
  readonly rabbitmqUrl: string;
  readonly managementUrl: string;
  /** Address of this test's own database, whose name begins with `weir_test_`. */
  readonly timescaleUrl: string;
  readonly minio: { readonly url: string; readonly accessKey: string; readonly secretKey: string };
  readonly redisUrl: string;
}

/**
 * A namespace of its own on the shared servers for one test: a database, a virtual host, a prefix for topics,
 * groups, buckets and keys. All of it is removed when the scope ends, also after a failure. Only the servers that
 * are named are used; all of them when none is.
 */
export async function isolated(
  scope: Scope,
  use: Partial<Record<TestServer, boolean>> = {},
): Promise<Isolated> {
  const named = TEST_SERVERS.filter((server) => use[server] === true);
  const servers = named.length === 0 ? TEST_SERVERS : named;
  const stack = await testStack(servers);
  const namespace = `t${randomBytes(4).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), `weir-${namespace}-`));
  atEnd(scope, () => rmSync(folder, { recursive: true, force: true }));
  const portOffset = await freeOffset(scope);
  const at = (name: string): string => stack.env[`WEIR_${name}`] ?? '';
  const database = `weir_test_${namespace}`;
  const space: Isolated = {
    namespace,
    folder,
    stack,
    portOffset,
    brokers: at('KAFKA__BROKERS').split(','),
    rabbitmqUrl: withPath(at('RABBITMQ__URL'), namespace),
    managementUrl: at('RABBITMQ__MANAGEMENT_URL'),
    timescaleUrl: withPath(at('TIMESCALE__URL'), database),
    minio: { url: at('MINIO__URL'), accessKey: at('MINIO__ACCESS_KEY'), secretKey: at('MINIO__SECRET_KEY') },
    redisUrl: at('REDIS__URL'),
    env: {
      ...stack.env,
      WEIR_NAMESPACE: namespace,
      WEIR_PORTS__OFFSET: String(portOffset),
      WEIR_RABBITMQ__URL: withPath(at('RABBITMQ__URL'), namespace),
      WEIR_TIMESCALE__URL: withPath(at('TIMESCALE__URL'), database),
      WEIR_EDGE__DIR: join(folder, 'edge'),
      WEIR_EDGE__SPOOL__DIR: join(folder, 'edge', 'spool'),
    },
  };
  // The clients are loaded only for the servers in use: a test of one connector does not pay for the others.
  const remove = await import('./remove.ts');
  if (servers.includes('kafka')) atEnd(scope, () => remove.removeTopics(space.brokers, namespace));
  if (servers.includes('minio')) atEnd(scope, () => remove.removeBuckets(space.minio, namespace));
  if (servers.includes('redis')) atEnd(scope, () => remove.removeKeys(space.redisUrl, namespace));
  await Promise.all([
    servers.includes('timescale') && createDatabase(scope, at('TIMESCALE__URL'), database),
    servers.includes('rabbitmq') && createVhost(scope, space.managementUrl, namespace),
  ]);
  return space;
}

function withPath(address: string, path: string): string {
  if (address === '') return '';
  const url = new URL(address);
  url.pathname = `/${path}`;
  return url.href;
}

async function createDatabase(scope: Scope, adminUrl: string, database: string): Promise<void> {
  atEnd(scope, () => removeDatabase(adminUrl, database));
  await withDatabase(adminUrl, async (client) => {
    await client.query(`CREATE DATABASE ${database}`);
  });
}

async function createVhost(scope: Scope, managementUrl: string, vhost: string): Promise<void> {
  const user = new URL(managementUrl).username;
  atEnd(scope, async () => {
    await managementCall(managementUrl, 'DELETE', `/api/vhosts/${vhost}`);
  });
  await managementCall(managementUrl, 'PUT', `/api/vhosts/${vhost}`, {});
  const all = { configure: '.*', write: '.*', read: '.*' };
  await managementCall(managementUrl, 'PUT', `/api/permissions/${vhost}/${user}`, all);
}

/** One call of RabbitMQ's management API; the credentials are those of the address. Returns the parsed answer. */
export async function managementCall(
  managementUrl: string,
  method: 'GET' | 'PUT' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const url = new URL(path, managementUrl);
  const authorization = `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}`;
  url.username = '';
  url.password = '';
  const response = await fetch(url, {
    method,
    headers: { authorization, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(15_000),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.ok) return text === '' ? undefined : JSON.parse(text);
  throw new WeirError('WEIR_REJECTED', 'fatal', `${method} ${path} on RabbitMQ: ${response.status} ${text}`);
}
