import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { atEnd, isolated, type Scope, until } from '@weir/testkit';
import { pino } from 'pino';
import { openAdmin, openConsumer, openProducer } from './index.ts';
import type { Consumer, ConsumerEvent, KafkaOptions } from './types.ts';

const log = pino({ level: 'silent' });

/** A way to the broker that can be cut (nothing connects) or frozen (nothing is answered). */
class Way {
  cut = false;
  readonly #sockets = new Set<Socket>();
  readonly open = ({
    host,
    port,
    onConnect,
  }: {
    host: string;
    port: number;
    onConnect: () => void;
  }): Socket => {
    const socket = connect(this.cut ? { host: '127.0.0.1', port: 1 } : { host, port }, onConnect);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  };

  cutNow(): void {
    this.cut = true;
    const reset = Object.assign(new Error('cut by the test'), { code: 'ECONNRESET' });
    for (const socket of this.#sockets) socket.destroy(reset);
  }

  /** Sockets that are open now take no byte in either direction any more; new ones work. */
  freeze(): void {
    for (const socket of this.#sockets) {
      socket.pause();
      socket.removeAllListeners('data');
      socket.write = () => true;
    }
  }
}

interface Setup {
  readonly topic: string;
  readonly events: ConsumerEvent[];
  readonly values: string[];
  readonly asked: number[];
  readonly consumer: Consumer;
  readonly way: Way;
  readonly admin: ReturnType<typeof openAdmin>;
  send(value: string): Promise<void>;
}

async function open(scope: Scope, sessionTimeoutMs: number, partitions = 1): Promise<Setup> {
  const space = await isolated(scope, { kafka: true });
  const direct: KafkaOptions = { brokers: space.brokers, clientId: 't', log };
  const way = new Way();
  const admin = openAdmin(direct);
  const producer = openProducer(direct);
  const topic = `${space.namespace}.recovery`;
  if (partitions > 0) await admin.applyTopics([{ name: topic, partitions, config: {} }]);
  const events: ConsumerEvent[] = [];
  const values: string[] = [];
  const asked: number[] = [];
  const consumer = openConsumer({
    ...direct,
    socketFactory: way.open,
    groupId: `${topic}.group`,
    topic,
    sessionTimeoutMs,
    onEvent: (event) => events.push(event),
    onFatal: (error) => assert.fail(error),
    handler: {
      assigned: async (partition) => {
        asked.push(partition);
        return BigInt(values.length);
      },
      batch: async (_, records) => {
        for (const { value } of records) values.push(value.toString());
      },
      revoked: () => Promise.resolve(),
    },
  });
  atEnd(scope, () => way.cutNow()); // silent connections would keep the process for 30 s
  atEnd(scope, () => Promise.all([consumer.stop(), producer.close(), admin.close()]).then(() => undefined));
  const send = (value: string) => producer.send(topic, [{ partition: 0, value: Buffer.from(value) }]);
  return { topic, events, values, asked, consumer, way, admin, send };
}

test('after an outage reading goes on at once, though the broker still counts the member from before', async (t) => {
  // A session far longer than three times the deadline below, as long as `until` waits: who waits for it fails.
  const { consumer, values, way, send } = await open(t, 60_000);
  await consumer.start();
  await send('a');
  await until(() => values.length === 1, { deadlineMs: 20_000, what: 'the first record' });
  way.cutNow();
  await until(() => !consumer.healthy && consumer.lastError !== null, {
    deadlineMs: 15_000,
    what: 'the outage to be noticed',
  });
  await send('b');
  way.cut = false;
  const since = performance.now();
  await until(() => values.length === 2, { deadlineMs: 12_000, what: 'the second record' });
  t.diagnostic(`${Math.round(performance.now() - since)} ms from the broker's return to the next record`);
  assert.deepEqual(values, ['a', 'b']);
  await until(() => consumer.healthy, { deadlineMs: 20_000, what: 'the consumer to be well' });
});

test('connections that fall silent are replaced before the deadline of a request', async (t) => {
  const { consumer, values, way, events, send } = await open(t, 6_000);
  await consumer.start();
  await send('a');
  await until(() => values.length === 1, { deadlineMs: 20_000, what: 'the first record' });
  way.freeze();
  await send('b');
  // A request would wait 30 s, and `until` waits three times as long as on a free machine.
  await until(() => values.length === 2, { deadlineMs: 9_500, what: 'the second record' });
  assert.ok(events.some(({ kind }) => kind === 'stuck'));
});

test('a topic that is made after the consumer has started is read', async (t) => {
  const { consumer, values, admin, topic, send } = await open(t, 6_000, 0);
  await consumer.start();
  await until(() => consumer.lastError !== null, { deadlineMs: 15_000, what: 'the missing topic noticed' });
  assert.equal(consumer.healthy, false);
  await admin.applyTopics([{ name: topic, partitions: 12, config: {} }]);
  await send('a');
  await until(() => values.length === 1, { deadlineMs: 30_000, what: 'the record' });
  await until(() => consumer.assigned.size === 12 && consumer.healthy, {
    deadlineMs: 20_000,
    what: 'all partitions',
  });
});

test('a topic made anew under a running consumer: the app is asked again where to read', async (t) => {
  const { consumer, values, asked, events, admin, topic, send } = await open(t, 6_000);
  await consumer.start();
  for (const value of ['a', 'b', 'c']) await send(value);
  await until(() => values.length === 3, { deadlineMs: 20_000, what: 'the records' });
  assert.deepEqual(asked, [0]);
  await admin.deleteTopics([topic]);
  await until(async () => !(await admin.listTopics()).includes(topic), {
    deadlineMs: 15_000,
    what: 'the topic to go',
  });
  await admin.applyTopics([{ name: topic, partitions: 1, config: {} }]);
  await until(
    async () =>
      send('d').then(
        () => true,
        () => false,
      ),
    { deadlineMs: 15_000, what: 'a write' },
  );
  await until(() => values.includes('d'), { deadlineMs: 30_000, what: 'the record of the new topic' });
  assert.ok(asked.length >= 2);
  assert.ok(events.some(({ kind }) => kind === 'offset-out-of-range'));
});

test('a member without a partition is well when others have them all', async (t) => {
  const { consumer, topic, values, send } = await open(t, 6_000);
  const space = await isolated(t, { kafka: true });
  const second = openConsumer({
    brokers: space.brokers,
    clientId: 't2',
    log,
    groupId: `${topic}.group`,
    topic,
    sessionTimeoutMs: 6_000,
    onFatal: (error) => assert.fail(error),
    handler: {
      assigned: async () => null,
      batch: () => Promise.resolve(),
      revoked: () => Promise.resolve(),
    },
  });
  atEnd(t, () => second.stop());
  await consumer.start();
  await send('a');
  await until(() => values.length === 1 && consumer.healthy, {
    deadlineMs: 20_000,
    what: 'the first member',
  });
  await second.start();
  await until(() => consumer.healthy && second.healthy, { deadlineMs: 25_000, what: 'both to be well' });
  assert.equal(consumer.assigned.size + second.assigned.size, 1);
});

test('topics can be written and read as soon as they are applied, also by several at once', async (t) => {
  const space = await isolated(t, { kafka: true });
  const options: KafkaOptions = { brokers: space.brokers, clientId: 't', log };
  const admins = [openAdmin(options), openAdmin(options)];
  const producer = openProducer(options);
  atEnd(t, () => Promise.all([...admins, producer].map((one) => one.close())).then(() => undefined));
  const topics = [1, 2, 3].map((n) => ({ name: `${space.namespace}.t${n}`, partitions: 12, config: {} }));
  const results = await Promise.all(admins.map((admin) => admin.applyTopics(topics)));
  assert.equal(results.flatMap(({ created }) => created).length, 3);
  for (const { name } of topics) {
    await producer.send(
      name,
      Array.from({ length: 12 }, (_, partition) => ({ partition, value: Buffer.from('x') })),
    );
    for (const admin of admins) assert.equal((await admin.groupLag('nobody', name)).length, 12);
  }
});
