import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';
import { Client as Minio } from 'minio';
import { requireTestDatabase, withDatabase } from './database.ts';
import type { Scope } from './scope.ts';
import { type Isolated, isolated, managementCall } from './servers.ts';
import { testStack } from './stack.ts';
import { until } from './until.ts';

function manualScope(): { scope: Scope; end: () => Promise<void> } {
  let tidy: (() => Promise<void>) | undefined;
  return {
    scope: {
      after: (given) => {
        tidy = given;
      },
    },
    end: async () => tidy?.(),
  };
}

const kafkaOf = (space: Isolated) =>
  new Kafka({ clientId: 'testkit-it', brokers: [...space.brokers], logLevel: logLevel.NOTHING });

function minioOf({ minio }: Isolated): Minio {
  const { hostname, port } = new URL(minio.url);
  const { accessKey, secretKey } = minio;
  return new Minio({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
}

/** What of the namespace can be seen on the servers. */
async function leftovers(space: Isolated): Promise<string[]> {
  const { namespace } = space;
  const admin = kafkaOf(space).admin();
  await admin.connect();
  const topics = (await admin.listTopics()).filter((name) => name.startsWith(namespace));
  const groups = (await admin.listGroups()).groups
    .map((g) => g.groupId)
    .filter((id) => id.startsWith(namespace));
  await admin.disconnect();
  const vhosts = (await managementCall(space.managementUrl, 'GET', '/api/vhosts')) as { name: string }[];
  const databases = await withDatabase(space.stack.env.WEIR_TIMESCALE__URL ?? '', (client) =>
    client.query<{ datname: string }>('SELECT datname FROM pg_database WHERE datname LIKE $1', [
      `%${namespace}`,
    ]),
  );
  const buckets = (await minioOf(space).listBuckets()).filter(({ name }) => name.includes(namespace));
  const redis = new Redis(space.redisUrl);
  const keys = await redis.keys(`weir:${namespace}:*`);
  redis.disconnect();
  return [
    ...topics,
    ...groups,
    ...vhosts.map(({ name }) => name).filter((name) => name === namespace),
    ...databases.rows.map(({ datname }) => datname),
    ...buckets.map(({ name }) => name),
    ...keys,
  ];
}

/** A server may show what was made, or is gone, a moment later. */
async function untilLeft(space: Isolated, expected: readonly string[]): Promise<void> {
  await until(
    async () => {
      assert.deepEqual((await leftovers(space)).sort(), expected);
      return true;
    },
    { deadlineMs: 20_000, what: 'the servers to show it', everyMs: 250 },
  );
}

test('a namespace works on every server and leaves nothing behind', async () => {
  const { scope, end } = manualScope();
  const space = await isolated(scope);
  const { namespace } = space;
  try {
    const topic = `${namespace}.readings`;
    const kafka = kafkaOf(space);
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] });
    await admin.setOffsets({
      groupId: `${namespace}.group`,
      topic,
      partitions: [{ partition: 0, offset: '0' }],
    });
    await admin.disconnect();
    const queue = `/api/queues/${namespace}/q`;
    await managementCall(space.managementUrl, 'PUT', queue, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum' },
    });
    await withDatabase(space.timescaleUrl, async (client) => {
      await client.query('CREATE EXTENSION timescaledb');
      await client.query('CREATE TABLE points (ts timestamptz NOT NULL, value float8)');
      await client.query("SELECT create_hypertable('points', by_range('ts'))");
      await client.query('INSERT INTO points VALUES (now(), 1)');
    });
    const minio = minioOf(space);
    await minio.makeBucket(`weir-archive-${namespace}`);
    await minio.putObject(`weir-archive-${namespace}`, 'raw/one', Buffer.from('1'));
    const redis = new Redis(space.redisUrl);
    await redis.set(`weir:${namespace}:cache:q`, '1');
    redis.disconnect();
    await untilLeft(space, [
      `${namespace}`,
      `${namespace}.group`,
      `${namespace}.readings`,
      `weir-archive-${namespace}`,
      `weir:${namespace}:cache:q`,
      `weir_test_${namespace}`,
    ]);
  } finally {
    await end();
  }
  await untilLeft(space, []);
  assert.equal(existsSync(space.folder), false);
});

test('destructive helpers refuse a database that is not for tests', () => {
  assert.throws(() => requireTestDatabase('weir'), /not one for tests/);
  assert.throws(() => requireTestDatabase('weir_test_a; DROP DATABASE weir'), /not one for tests/);
});

test('missing servers are named together with the command that starts them', async (t) => {
  const before = process.env.WEIR_TEST_STACK;
  t.after(() => {
    if (before === undefined) delete process.env.WEIR_TEST_STACK;
    else process.env.WEIR_TEST_STACK = before;
  });
  process.env.WEIR_TEST_STACK = '/nonexistent/stack.json';
  await assert.rejects(testStack(), /kafka, rabbitmq, timescale, minio, redis.*\n.*dev-stack\.ts/);
});
