import { WeirError } from '@weir/flow';
import { Redis } from 'ioredis';
import '@weir/connect-kafka/quiet-timers';
import { Kafka, logLevel } from 'kafkajs';
import { Client as Minio } from 'minio';
import { until } from './until.ts';

const NAMESPACE = /^t[0-9a-f]{8}$/;

/** Removing is by prefix, so a wrong prefix would remove the data of others. */
function requireNamespace(namespace: string): void {
  if (NAMESPACE.test(namespace)) return;
  throw new WeirError(
    'WEIR_STATE',
    'fatal',
    `Refusing to remove "${namespace}": it is not the namespace of a test.`,
  );
}

export async function removeTopics(brokers: readonly string[], namespace: string): Promise<void> {
  requireNamespace(namespace);
  const kafka = new Kafka({ clientId: 'weir-testkit', brokers: [...brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const mine = (name: string) => name.startsWith(`${namespace}.`);
    const groups = (await admin.listGroups()).groups.map((group) => group.groupId).filter(mine);
    const empty = async () => {
      const { groups: described } = await admin.describeGroups(groups);
      return described.every((group) => group.state === 'Empty' || group.state === 'Dead');
    };
    if (groups.length > 0) {
      // A killed member is missed only after its session timeout; until then its group cannot be deleted.
      await until(empty, {
        deadlineMs: 30_000,
        everyMs: 250,
        what: `the Kafka groups ${groups.join(', ')} to be empty`,
      });
      await admin.deleteGroups(groups);
    }
    const topics = (await admin.listTopics()).filter(mine);
    if (topics.length > 0) await admin.deleteTopics({ topics, timeout: 10_000 });
  } finally {
    await admin.disconnect();
  }
}

export async function removeBuckets(
  {
    url,
    accessKey,
    secretKey,
  }: { readonly url: string; readonly accessKey: string; readonly secretKey: string },
  namespace: string,
): Promise<void> {
  requireNamespace(namespace);
  const { hostname, port, protocol } = new URL(url);
  const minio = new Minio({
    endPoint: hostname,
    port: Number(port),
    useSSL: protocol === 'https:',
    accessKey,
    secretKey,
  });
  const buckets = (await minio.listBuckets()).filter(({ name }) => name.endsWith(`-${namespace}`));
  for (const { name } of buckets) {
    const keys: string[] = [];
    for await (const object of minio.listObjectsV2(name, '', true))
      keys.push((object as { name: string }).name);
    if (keys.length > 0) await minio.removeObjects(name, keys);
    await minio.removeBucket(name);
  }
}

export async function removeKeys(url: string, namespace: string): Promise<void> {
  requireNamespace(namespace);
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 2 });
  try {
    await redis.connect();
    for await (const keys of redis.scanStream({ match: `weir:${namespace}:*`, count: 500 })) {
      if ((keys as string[]).length > 0) await redis.unlink(...(keys as string[]));
    }
  } finally {
    redis.disconnect();
  }
}
