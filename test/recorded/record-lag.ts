/**
 * Records what a lag monitor measures while consumers stop, hang, fall behind and start again, for libs/lag/src/golden:
 *   WEIR_TEST_STACK=<stack.json> node test/recorded/record-lag.ts <folder>
 * Takes two minutes. The verdicts in the files are then written by hand, from what was done when.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ConsumerHandler,
  openAdmin,
  openConsumer,
  openLogReader,
  openProducer,
  openTopicIds,
} from '@weir/connect-kafka';
import {
  applyTopology,
  openPublisher,
  openConsumer as openQueueConsumer,
  queueConsumers,
  queueDepths,
  queueTotals,
  vhostOf,
} from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { isolated, type Scope } from '@weir/testkit';
import kafkajs from 'kafkajs';
import { measureGroups } from '../../apps/lag-monitor/src/lag/measure-groups.ts';
import { readHeads } from '../../apps/lag-monitor/src/lag/read-heads.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: record-lag.ts <folder>');
const log = createLogger({ app: 'record', level: 'error', format: 'json' });
const EVERY_MS = 5_000;
const ENDS_S = 110;
const PER_TICK = 10;
const TICK_MS = 200;

const GROUPS = ['stop', 'stall', 'quiet', 'rewind', 'recreated', 'lost', 'slow'] as const;
type Name = (typeof GROUPS)[number];
const QUEUES = ['queue-stop', 'queue-stall', 'queue-quiet'] as const;

const ends: (() => unknown)[] = [];
const scope: Scope = { after: (end: () => unknown) => void ends.push(end) } as Scope;
const space = await isolated(scope, { kafka: true, rabbitmq: true });
const kafka = { brokers: space.brokers, clientId: 'record', log };
const raw = new kafkajs.Kafka({ brokers: [...space.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
await raw.connect();
const admin = openAdmin(kafka);
const topicOf = (name: Name): string => `${space.namespace}.${name}`;
const definition = (name: Name) => ({ name: topicOf(name), partitions: 1, config: {} });
await admin.applyTopics(GROUPS.map(definition));
const producer = openProducer(kafka);
await producer.connect();
const rabbitmq = { url: space.rabbitmqUrl };
await applyTopology(rabbitmq, {
  exchanges: [],
  queues: QUEUES.map((name) => ({ name, arguments: { 'x-queue-type': 'quorum' }, bindings: [] })),
});
const publisher = openPublisher({ ...rabbitmq, log });

/** Records a second that a consumer does; 0: it hangs. */
const pace = new Map<string, number>();
const consume = async (name: Name) => {
  const handler: ConsumerHandler = {
    assigned: () => Promise.resolve(null),
    async batch(partition, records) {
      for (let i = 0; i < records.length; i += 10) {
        const part = records.slice(i, i + 10);
        while (pace.get(name) === 0) await delay(50);
        const perSecond = pace.get(name);
        if (perSecond !== undefined) await delay((part.length / perSecond) * 1_000);
        await consumer.commit(new Map([[partition, (part.at(-1)?.offset ?? 0n) + 1n]]));
      }
    },
    revoked: () => Promise.resolve(),
  };
  const consumer = openConsumer({
    ...{ ...kafka, groupId: topicOf(name), topic: topicOf(name), sessionTimeoutMs: 6_000, handler },
    onFatal: (error) => process.stderr.write(`${name}: ${error.message}\n`),
  });
  await consumer.start();
  return consumer;
};
const consumers = new Map<string, { stop(): Promise<void> }>();
for (const name of GROUPS) consumers.set(name, await consume(name));
for (const name of QUEUES) {
  const consumer = openQueueConsumer({
    ...{ ...rabbitmq, queue: name, prefetch: 20, log },
    handler: async () => {
      while (pace.get(name) === 0) await delay(50);
      return 'ack';
    },
  });
  consumer.start();
  consumers.set(name, consumer);
}

const heads = readHeads({
  open: (topic) => openLogReader(kafka, topic),
  ...{ knows: () => null, goodEnoughMs: 0, deadlineMs: 1_000 },
});
const ids = openTopicIds(kafka);
const measure = measureGroups({
  ...{ admin, ids, heads, maxPartitions: 1_000, isOurs: () => false },
  isWatched: (group) => group.startsWith(space.namespace),
});
const samples = new Map<string, object[]>();
const silent = new Set<string>();
let zero = 0;
const seconds = (ms: number): number => Math.round((ms - zero) / 100) / 10;
const sample = (name: string, one: object): unknown => samples.set(name, [...(samples.get(name) ?? []), one]);

const look = async (): Promise<void> => {
  const { groups } = await measure();
  for (const { name, partitions } of groups) {
    const measured = partitions[0]?.measured;
    if (measured === undefined || 'why' in measured) continue;
    const { at, headAt, retentionMs: _, ...rest } = measured;
    const head = headAt == null ? {} : { headAt: seconds(headAt) };
    sample(name.slice(space.namespace.length + 1), { at: seconds(at), ...rest, ...head });
  }
  const vhost = vhostOf(space.rabbitmqUrl);
  const [depths, totals, counts] = await Promise.all([
    queueDepths(space.managementUrl, vhost),
    queueTotals(space.managementUrl, vhost),
    queueConsumers(space.managementUrl, vhost),
  ]);
  for (const { name, done, ...counted } of depths) {
    const { ready, unacked } = totals.get(name) ?? counted;
    sample(name, { at: seconds(Date.now()), depth: ready + unacked, done, consumers: counts.get(name) ?? 0 });
  }
};

const produce = async (): Promise<void> => {
  const value = Buffer.from('x');
  for (const name of GROUPS) {
    if (silent.has(name)) continue;
    const record = { partition: 0, key: null, value };
    await producer
      .send(
        topicOf(name),
        Array.from({ length: PER_TICK }, () => record),
      )
      .catch(() => undefined);
  }
  const messages = QUEUES.filter((name) => !silent.has(name)).flatMap((name) =>
    Array.from({ length: PER_TICK }, () => ({
      exchange: '',
      key: name,
      body: value,
      contentType: 'text/plain',
    })),
  );
  await publisher.publish(messages);
};

/** What is done when, in seconds. */
const actions: readonly (readonly [number, string, () => Promise<unknown> | undefined])[] = [
  [12, 'recreated stops', () => consumers.get('recreated')?.stop()],
  [20, 'slow does 30 a second', async () => pace.set('slow', 30)],
  [22, 'lost hangs', async () => pace.set('lost', 0)],
  [27, 'stop stops', () => consumers.get('stop')?.stop()],
  [27, 'queue-stop stops', () => consumers.get('queue-stop')?.stop()],
  [27, 'stall hangs', async () => pace.set('stall', 0)],
  [27, 'queue-stall hangs', async () => pace.set('queue-stall', 0)],
  [27, 'quiet has no input', async () => silent.add('quiet')],
  [27, 'queue-quiet has no input', async () => silent.add('queue-quiet')],
  [
    27,
    'recreated is made anew',
    async () => {
      await admin.deleteTopics([topicOf('recreated')]);
      await admin.applyTopics([definition('recreated')]);
    },
  ],
  [
    27,
    'rewind goes back to 0',
    async () => {
      await consumers.get('rewind')?.stop();
      const topic = topicOf('rewind');
      await raw.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: '0' }] });
      pace.set('rewind', 80);
      consumers.set('rewind', await consume('rewind'));
    },
  ],
  [
    32,
    'lost loses',
    async () => {
      const topic = topicOf('lost');
      await raw.fetchTopicOffsets(topic); // kafkajs deletes of topics only that it has heard of
      const [end] = await admin.topicOffsets(topic);
      const offset = String((end?.end ?? 0n) - 20n);
      await raw.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] });
    },
  ],
  [42, 'lost goes on', async () => pace.delete('lost')],
  [72, 'recreated starts', async () => consumers.set('recreated', await consume('recreated'))],
  [72, 'stall goes on', async () => pace.delete('stall')],
  [72, 'stop starts', async () => consumers.set('stop', await consume('stop'))],
];

for (let warm = 0; warm < 10; warm++, await delay(TICK_MS)) await produce();
zero = Date.now();
const done: string[] = [];
const todo = [...actions];
let nextLook = 0;
while (seconds(Date.now()) < ENDS_S) {
  const now = seconds(Date.now());
  const tick = delay(TICK_MS);
  await produce();
  if (now * 1_000 >= nextLook) {
    nextLook += EVERY_MS;
    await look().catch((error: unknown) => process.stderr.write(`${now} s: ${String(error)}\n`));
  }
  for (let due = todo[0]; due !== undefined && due[0] <= now; due = todo[0]) {
    todo.shift();
    void Promise.resolve(due[2]()).then(() => process.stdout.write(`${seconds(Date.now())} s: ${due[1]}\n`));
    done.push(`${now} s: ${due[1]}`);
  }
  await tick;
}
for (const [name, list] of samples) {
  const what = done.filter((line) => line.includes(` ${name} `));
  const kind = name.startsWith('queue') ? 'queue' : 'log';
  writeFileSync(
    join(folder, `recorded-${name}.json`),
    `${JSON.stringify({ what: what.join('; '), kind, verdicts: [], samples: list }, null, 1)}\n`,
  );
}
pace.clear();
for (const consumer of consumers.values()) await consumer.stop();
await Promise.all([
  heads.close(),
  ids.close(),
  admin.close(),
  raw.disconnect(),
  producer.close(),
  publisher.close(),
]);
for (const end of ends.reverse()) await end();
process.exit(0);
