import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { isTransient, WeirError } from '@weir/flow';
import { atEnd, isolated, until } from '@weir/testkit';
import { type LogUnderTest, partitionedLogConformance } from '@weir/testkit/conformance/partitioned-log';
import { pino } from 'pino';
import { openAdmin, openConsumer, openProducer, openTopicIds } from './index.ts';
import type { ConsumerEvent, KafkaOptions } from './types.ts';

const log = pino({ level: 'silent' });
const SESSION_MS = 6_000;

partitionedLogConformance('Kafka', async (scope): Promise<LogUnderTest> => {
  const space = await isolated(scope, { kafka: true });
  const sockets = new Set<Socket>();
  const options: KafkaOptions = {
    brokers: space.brokers,
    clientId: 'conformance',
    log,
    socketFactory: ({ host, port, onConnect }) => {
      const socket = connect({ host, port }, onConnect);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
  };
  let topics = 0;
  const admin = openAdmin(options);
  atEnd(scope, () => admin.close());
  return {
    sessionTimeoutMs: SESSION_MS,
    async makeTopic(partitions) {
      const name = `${space.namespace}.log${topics++}`;
      await admin.applyTopics([{ name, partitions, config: {} }]);
      return name;
    },
    openProducer: () => openProducer(options),
    openConsumer: (more) => openConsumer({ ...options, ...more, sessionTimeoutMs: SESSION_MS }),
    async committed(groupId, topic) {
      const lag = await admin.groupLag(groupId, topic);
      return new Map(lag.map(({ partition, committed }) => [partition, committed]));
    },
    cutConnections() {
      const reset = Object.assign(new Error('cut by the test'), { code: 'ECONNRESET' });
      for (const socket of sockets) socket.destroy(reset);
    },
  };
});

test('a broker that is away is a transient error within 5 s', async () => {
  const away: KafkaOptions = { brokers: ['127.0.0.1:1'], clientId: 't', log };
  const producer = openProducer(away);
  const since = performance.now();
  await assert.rejects(producer.connect(), (error: unknown) => {
    assert.ok(error instanceof WeirError && isTransient(error));
    assert.match(error.message, /connecting to Kafka at 127\.0\.0\.1:1/);
    return true;
  });
  assert.ok(performance.now() - since < 6_000);
  await producer.close();
  const admin = openAdmin(away);
  await assert.rejects(admin.listTopics(), isTransient);
  await admin.close();
});

test('what the broker refuses is a data error, and the producer goes on', async (t) => {
  const space = await isolated(t, { kafka: true });
  const options: KafkaOptions = { brokers: space.brokers, clientId: 't', log };
  const admin = openAdmin(options);
  const producer = openProducer({ ...options, compression: 'none' });
  atEnd(t, () => Promise.all([admin.close(), producer.close()]).then(() => undefined));
  const topic = `${space.namespace}.small`;
  await admin.applyTopics([{ name: topic, partitions: 2, config: { 'max.message.bytes': '10000' } }]);
  await assert.rejects(
    producer.send(topic, [{ partition: 0, value: Buffer.alloc(20_000) }]),
    (error: unknown) => error instanceof WeirError && error.retry === 'data',
  );
  await producer.send(topic, [{ partition: 1, value: Buffer.from('x') }]);
  // kafkajs drops records for an unknown partition without a word.
  await assert.rejects(producer.send(topic, [{ partition: 7, value: Buffer.from('x') }]), /no partition 7/);
  const sends = [1, 2].map(() => producer.send(topic, [{ partition: 0, value: Buffer.from('y') }]));
  await assert.rejects(Promise.all(sends), /already under way/);
  await Promise.allSettled(sends);
  assert.deepEqual(await admin.topicOffsets(topic), [
    { partition: 0, start: 0n, end: 1n },
    { partition: 1, start: 0n, end: 1n },
  ]);
});

test('topics are created once, grow, and follow their configuration', async (t) => {
  const space = await isolated(t, { kafka: true });
  const admin = openAdmin({ brokers: space.brokers, clientId: 't', log });
  atEnd(t, () => admin.close());
  const name = `${space.namespace}.grows`;
  assert.deepEqual(await admin.applyTopics([{ name, partitions: 1, config: {} }]), { created: [name] });
  const config = { 'retention.ms': '60000' };
  assert.deepEqual(await admin.applyTopics([{ name, partitions: 3, config }]), { created: [] });
  await until(async () => (await admin.topicOffsets(name)).length === 3, {
    deadlineMs: 20_000,
    what: '3 partitions',
  });
  assert.deepEqual(await admin.groupLag(`${space.namespace}.none`, name), [
    { partition: 0, start: 0n, end: 0n, committed: null, lag: null },
    { partition: 1, start: 0n, end: 0n, committed: null, lag: null },
    { partition: 2, start: 0n, end: 0n, committed: null, lag: null },
  ]);
  await admin.deleteTopics([name, `${space.namespace}.never-there`]);
  await admin.deleteGroups([`${space.namespace}.never-there`]);
});

test('a place beyond the log (a topic made anew) is told loudly, and reading begins at the earliest record', async (t) => {
  const space = await isolated(t, { kafka: true });
  const options: KafkaOptions = { brokers: space.brokers, clientId: 't', log };
  const admin = openAdmin(options);
  const producer = openProducer(options);
  const topic = `${space.namespace}.anew`;
  await admin.applyTopics([{ name: topic, partitions: 1, config: {} }]);
  await producer.send(topic, [{ partition: 0, value: Buffer.from('first') }]);
  const events: ConsumerEvent[] = [];
  const values: string[] = [];
  const consumer = openConsumer({
    ...options,
    groupId: `${topic}.group`,
    topic,
    sessionTimeoutMs: SESSION_MS,
    onEvent: (event) => events.push(event),
    onFatal: (error) => assert.fail(error),
    handler: {
      assigned: () => Promise.resolve(5_000n),
      batch: async (_, records) => {
        for (const { value } of records) values.push(value.toString());
      },
      revoked: () => Promise.resolve(),
    },
  });
  atEnd(t, () => Promise.all([consumer.stop(), producer.close(), admin.close()]).then(() => undefined));
  await consumer.start();
  await until(() => values.length === 1, { deadlineMs: 20_000, what: 'the record' });
  assert.deepEqual(values, ['first']);
  assert.deepEqual(
    events.find(({ kind }) => kind === 'offset-out-of-range'),
    { kind: 'offset-out-of-range', partition: 0, wanted: 5_000n, start: 0n, end: 1n, missing: 0n },
  );
});

test('the id of a topic tells it from one made anew under its name', async (t) => {
  const space = await isolated(t, { kafka: true });
  const options: KafkaOptions = { brokers: space.brokers, clientId: 't', log };
  const admin = openAdmin(options);
  const ids = openTopicIds(options);
  atEnd(t, async () => {
    await Promise.all([admin.close(), ids.close()]);
  });
  const names = Array.from({ length: 150 }, (_, n) => `${space.namespace}.none-${n}`);
  const name = `${space.namespace}.made-anew`;
  const make = async (): Promise<string | undefined> => {
    await admin.applyTopics([{ name, partitions: 3, config: {} }]);
    const found = await ids.read([...names, name]);
    assert.deepEqual([...found.keys()], [name]);
    return found.get(name);
  };
  const first = await make();
  assert.match(first ?? '', /^[0-9a-f]{32}$/);
  assert.equal(await make(), first);
  await admin.deleteTopics([name]);
  await until(async () => !(await admin.listTopics()).includes(name), {
    deadlineMs: 20_000,
    what: 'the topic to go',
  });
  assert.notEqual(await make(), first);
});
