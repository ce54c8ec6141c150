import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '@weir/config';
import { type KafkaRecord, openAdmin, openConsumer, openProducer } from '@weir/connect-kafka';
import {
  applyTopology,
  brokerTopology,
  type Delivery,
  openPublisher,
  openConsumer as openQueue,
} from '@weir/connect-rabbitmq';
import { retrying } from '@weir/flow';
import { parseSent, Received } from '@weir/ledger';
import { createLogger, Metrics } from '@weir/observe';
import { decodeEnvelope, splitLines } from '@weir/reading';
import { atEnd, cutProxy, type Isolated, isolated, type Scope, until } from '@weir/testkit';
import { EXCHANGES, eventKey, kafkaTopology, RECORD_HEADERS, telemetryKey } from '@weir/topology';
import { EdgeClock } from '../clock/index.ts';
import { deadLetterBody, eventBody } from '../spool/index.ts';
import { ForwardEvents } from './events.ts';
import { appendReading, metricValue, testSpool, testTally } from './fixture.ts';
import { forward } from './flow.ts';
import { startForwarders } from './index.ts';
import { kafkaSink } from './kafka-sink.ts';
import { rabbitmqSink } from './rabbitmq-sink.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const DEVICES = Array.from({ length: 40 }, (_, i) => `pump-${i}`);
const TEST_QUEUE = 'weir.test.all';

async function createTopics(space: Isolated, config?: Readonly<Record<string, string>>): Promise<void> {
  const topics = kafkaTopology(space.namespace);
  const readings = { ...topics.readings, ...(config === undefined ? {} : { config }) };
  const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
  // A busy broker may take longer to elect leaders than one call waits.
  await retrying(() => admin.applyTopics([readings, topics.deadLetters]), { attempts: 5 }).finally(() =>
    admin.close(),
  );
}
/** A queue that gets all telemetry and events. */
async function createQueue(space: Isolated): Promise<void> {
  // The test's own queue comes first: a message that waits for any queue would go to another one without it.
  const bindings = [EXCHANGES.telemetry, EXCHANGES.events].map(({ name }) => ({ exchange: name, key: '#' }));
  await applyTopology(
    { url: space.rabbitmqUrl },
    {
      exchanges: brokerTopology.exchanges,
      queues: [{ name: TEST_QUEUE, arguments: { 'x-queue-type': 'quorum' }, bindings }],
    },
  );
  await applyTopology({ url: space.rabbitmqUrl });
}

/** Everything in a topic, by partition, in the order of the log. */
async function readTopic(scope: Scope, space: Isolated, topic: string): Promise<Map<number, KafkaRecord[]>> {
  const found = new Map<number, KafkaRecord[]>();
  const consumer = openConsumer({
    brokers: space.brokers,
    clientId: 'test',
    groupId: `${space.namespace}.reader.${topic}`,
    topic,
    sessionTimeoutMs: 10_000,
    log,
    onFatal: (error) => {
      throw error;
    },
    handler: {
      assigned: async () => null,
      revoked: async () => {},
      batch: async (partition, records) => {
        found.set(partition, [...(found.get(partition) ?? []), ...records]);
      },
    },
  });
  await consumer.start();
  atEnd(scope, () => consumer.stop());
  return found;
}
/** What who reads all partitions in order says: readings that are missing, and readings in all. */
function missing(found: ReadonlyMap<number, readonly KafkaRecord[]>): [number, number] {
  let holes = 0;
  let all = 0;
  for (const records of found.values()) {
    const received = new Received(0, []);
    for (const { headers, offset } of records) {
      const sent = parseSent(headers[RECORD_HEADERS.sent] ?? '');
      assert.ok(sent !== null);
      holes += received.take(sent, offset);
    }
    all += received.takeChanged()[0]?.through ?? 0;
  }
  return [holes, all];
}
function linesOf(records: readonly KafkaRecord[]): string[] {
  return records.flatMap(({ value }) => splitLines(value));
}
function linesIn(found: ReadonlyMap<number, readonly KafkaRecord[]>): number {
  return [...found.values()].reduce((sum, records) => sum + linesOf(records).length, 0);
}
/** The n of a partition without what was sent again: below the highest so far. */
function firstTimes(records: readonly KafkaRecord[]): number[] {
  const kept: number[] = [];
  for (const line of linesOf(records)) {
    const { n } = decodeEnvelope(line);
    if (n > (kept.at(-1) ?? 0)) kept.push(n);
  }
  return kept;
}

test('readings, dead letters and events all arrive, each where it belongs', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true });
  await createTopics(space);
  await createQueue(space);
  const topics = kafkaTopology(space.namespace);
  const spool = await testSpool(join(space.folder, 'spool'));
  atEnd(t, () => spool.close());
  const metrics = new Metrics('edge');
  const config = loadConfig({ env: { ...space.env, WEIR_EDGE__FORWARD__CRITICAL_METRICS: 'pressure' } });
  const forwarders = startForwarders(
    {
      config,
      log,
      metrics,
      fatal: (_, error) => {
        throw error;
      },
    },
    spool,
    new EdgeClock({ dir: space.folder, maxAheadMs: 10_000 }),
  );
  atEnd(t, () => forwarders.stop());

  const sent = new Map<number, string>();
  for (let i = 0; i < 500; i++) {
    const device = DEVICES[i % DEVICES.length] as string;
    const pressure = i % 10 === 0;
    const n = await appendReading(spool, device, i, {
      metric: pressure ? 'pressure' : 'temperature',
      critical: pressure,
    });
    sent.set(n, device);
  }
  const raw = Buffer.from([0xff, 0x00, 0x7b, 0x0a]);
  const headers = { 'x-dlq-reason': 'decode', 'x-dlq-origin': 'telemetry/v1/plant/pump-1' };
  const bury = { kind: 'dead-letter', critical: false, partition: 8, count: 1 } as const;
  assert.ok(spool.append({ ...bury, body: deadLetterBody('pump-1', headers, raw) }, () => {}));
  const event = { key: eventKey('plant', 'disconnect'), body: { kind: 'disconnect', device: 'pump-1' } };
  const happen = { kind: 'event', critical: false, partition: 0, count: 0 } as const;
  assert.ok(spool.append({ ...happen, body: eventBody(event) }, () => {}));

  const found = await readTopic(t, space, topics.readings.name);
  await until(() => linesIn(found) >= 500, { deadlineMs: 30_000, what: '500 lines in Kafka' });
  for (const records of found.values()) {
    const lines = linesOf(records).map(decodeEnvelope);
    for (const [i, line] of lines.entries()) {
      assert.equal(line.device, sent.get(line.n));
      assert.ok(i === 0 || line.n > (lines[i - 1]?.n as number), 'n grows within a partition');
    }
    for (const record of records) {
      const inside = splitLines(record.value);
      assert.equal(record.headers[RECORD_HEADERS.count], String(inside.length));
      assert.equal(record.timestamp, decodeEnvelope(inside[0] as string).at);
    }
  }
  const letters = await readTopic(t, space, topics.deadLetters.name);
  await until(() => letters.size > 0, { deadlineMs: 30_000, what: 'the dead letter in Kafka' });
  const [letter] = [...letters.values()].flat() as [KafkaRecord];
  assert.deepEqual(letter.value, raw);
  assert.equal(letter.key?.toString(), 'pump-1');
  assert.deepEqual({ ...letter.headers }, headers);

  const deliveries: Delivery[] = [];
  const queue = openQueue({
    url: space.rabbitmqUrl,
    queue: TEST_QUEUE,
    prefetch: 100,
    log,
    handler: async (delivery) => {
      deliveries.push(delivery);
      return 'ack';
    },
  });
  queue.start();
  atEnd(t, () => queue.stop());
  const telemetry = (key: string): string[] =>
    deliveries
      .filter((delivery) => delivery.key === key)
      .flatMap(({ body }) => body.toString().trimEnd().split('\n'));
  const critical = telemetryKey('critical', 'plant', 'pressure');
  const normal = telemetryKey('normal', 'plant', 'temperature');
  await until(() => telemetry(critical).length + telemetry(normal).length === 500, {
    deadlineMs: 30_000,
    what: '500 readings in RabbitMQ',
  });
  assert.equal(telemetry(critical).length, 50);
  const reading = JSON.parse(telemetry(normal)[0] as string) as Record<string, unknown>;
  assert.deepEqual(Object.keys(reading), ['device', 'ts', 'seq', 'value', 'unit', 'at']);
  const batch = deliveries.find(({ key }) => key === critical) as Delivery;
  const { site, metric, class: readingClass } = batch.headers;
  assert.deepEqual([site, metric, readingClass], ['plant', 'pressure', 'critical']);
  assert.equal(batch.contentType, 'application/x-ndjson');
  await until(() => deliveries.some(({ key }) => key === event.key), {
    deadlineMs: 10_000,
    what: 'the event in RabbitMQ',
  });

  for (const name of ['kafka', 'rabbitmq'] as const) {
    await until(() => forwarders.status(name).records === 0, {
      deadlineMs: 30_000,
      what: `${name} caught up`,
    });
    assert.equal(forwarders.status(name).state, 'delivering');
    const labels = { hop: `forward-${name}`, outcome: 'stored' };
    assert.equal(await metricValue(metrics, 'weir_ledger_readings_total', labels), 500);
    assert.equal(await metricValue(metrics, 'weir_spool_behind_records', { destination: name }), 0);
  }
});

test('Kafka connections cut again and again: no gap, and n grows once resent lines are left out', async (t) => {
  const space = await isolated(t, { kafka: true });
  await createTopics(space);
  const topics = kafkaTopology(space.namespace);
  const [host, port] = (space.brokers[0] as string).split(':') as [string, string];
  const proxy = await cutProxy(t, { host, port: Number(port) });
  const spool = await testSpool(join(space.folder, 'spool'));
  atEnd(t, () => spool.close());
  const metrics = new Metrics('edge');
  const producer = openProducer({
    brokers: space.brokers,
    clientId: 'test',
    log,
    requestTimeoutMs: 2_000,
    // The broker's advertised address is its own: every connection goes through the proxy instead.
    socketFactory: ({ onConnect }) => dial({ host: '127.0.0.1', port: proxy.port }, onConnect),
  });
  const stop = new AbortController();
  const loop = forward({
    reader: spool.reader('kafka'),
    sink: kafkaSink({
      ...{ producer, topics, packed: true, events: new ForwardEvents(log, metrics) },
      ...{ tally: testTally(spool), reader: spool.reader('kafka') },
    }),
    batchBytes: 8_000,
    lingerMs: 5,
    stopping: stop.signal,
  });
  atEnd(t, async () => {
    stop.abort();
    await producer.close();
    await loop;
  });

  const expected = new Map<string, number[]>();
  let total = 0;
  for (let round = 0; round < 30; round++) {
    for (const device of DEVICES) {
      const n = await appendReading(spool, device, round);
      expected.set(device, [...(expected.get(device) ?? []), n]);
      total++;
    }
    const before = proxy.sent;
    if (round % 6 === 3) {
      // While bytes are on their way, so that requests are lost before, within and after their answer.
      await until(() => proxy.sent > before, { deadlineMs: 20_000, what: 'bytes to Kafka', everyMs: 1 });
      if (round % 12 === 3) proxy.cut();
      else proxy.mute();
    }
  }
  const found = await readTopic(t, space, topics.readings.name);
  const all = (): number[] => [...found.values()].flatMap(firstTimes);
  await until(() => all().length >= total, { deadlineMs: 60_000, what: `${total} readings in Kafka` });
  assert.equal(all().length, total, 'nothing twice once resent lines are left out');
  for (const [device, ns] of expected) {
    const [records] = [...found.values()].filter((r) => linesOf(r).some((l) => l.includes(`"${device}"`)));
    const kept = new Set(firstTimes(records ?? []));
    assert.deepEqual(
      ns.filter((n) => !kept.has(n)),
      [],
      `no gap for ${device}`,
    );
  }
  assert.ok(proxy.accepted >= 4, 'connections were lost and made again');
  await until(() => spool.reader('kafka').behind.records === 0, {
    deadlineMs: 30_000,
    what: 'all committed',
  });
  assert.deepEqual(
    missing(found),
    [0, total],
    'the counts of the records, sent again or not, make one sequence',
  );
});

test('a line that Kafka can never take becomes a dead letter; its neighbours arrive', async (t) => {
  const space = await isolated(t, { kafka: true });
  const topics = kafkaTopology(space.namespace);
  await createTopics(space, { 'max.message.bytes': '20000' });
  const spool = await testSpool(join(space.folder, 'spool'));
  atEnd(t, () => spool.close());
  const metrics = new Metrics('edge');
  const producer = openProducer({ brokers: space.brokers, clientId: 'test', log, compression: 'none' });
  const stop = new AbortController();

  for (let i = 0; i < 100; i++) await appendReading(spool, DEVICES[i % 7] as string, i);
  const line = Buffer.from(
    `{"v":1,"edge":"e/s","site":"plant","device":"pump-1","via":"mqtt","n":${spool.nextN()},"at":1763700000000,"payload":${JSON.stringify('x'.repeat(40_000))}}\n`,
  );
  const entry = { kind: 'reading', critical: false, partition: 5, count: 3, body: line } as const;
  assert.ok(spool.append(entry, () => {}));
  for (let i = 0; i < 100; i++) await appendReading(spool, DEVICES[i % 7] as string, i);

  const loop = forward({
    reader: spool.reader('kafka'),
    sink: kafkaSink({
      ...{ producer, topics, packed: true, events: new ForwardEvents(log, metrics) },
      ...{ tally: testTally(spool), reader: spool.reader('kafka') },
    }),
    batchBytes: 1 << 20,
    lingerMs: 5,
    stopping: stop.signal,
  });
  atEnd(t, async () => {
    stop.abort();
    await loop;
    await producer.close();
  });
  const found = await readTopic(t, space, topics.readings.name);
  const arrived = (): number => [...found.values()].flatMap(firstTimes).length;
  await until(() => arrived() === 200, { deadlineMs: 30_000, what: '200 lines in Kafka' });
  const letters = await readTopic(t, space, topics.deadLetters.name);
  await until(() => letters.size > 0, { deadlineMs: 30_000, what: 'the dead letter' });
  const [letter] = [...letters.values()].flat() as [KafkaRecord];
  assert.deepEqual(letter.value, line);
  assert.equal(letter.headers['x-dlq-reason'], 'sink-data');
  assert.deepEqual(missing(found), [0, 200], 'it is no hole for who reads the partitions');
  const labels = { hop: 'forward-kafka', outcome: 'dead_lettered', reason: 'sink-data' };
  // The letter may be here before its producer knows that it is.
  await until(async () => (await metricValue(metrics, 'weir_ledger_readings_total', labels)) === 3, {
    deadlineMs: 20_000,
    what: 'the dead letter to be counted',
  });
});

test('RabbitMQ connections cut and a queue that is not there yet: all readings arrive in order', async (t) => {
  const space = await isolated(t, { rabbitmq: true });
  const url = new URL(space.rabbitmqUrl);
  const proxy = await cutProxy(t, { host: url.hostname, port: Number(url.port) });
  url.host = `127.0.0.1:${proxy.port}`;
  proxy.refuse();
  const spool = await testSpool(join(space.folder, 'spool'));
  atEnd(t, () => spool.close());
  const metrics = new Metrics('edge');
  const events = new ForwardEvents(log, metrics);
  const publisher = openPublisher({ url: url.href, log, heartbeatMs: 2_000 });
  const config = loadConfig({ env: space.env });
  const stop = new AbortController();
  const loop = forward({
    reader: spool.reader('rabbitmq'),
    sink: rabbitmqSink({
      publisher,
      routing: { ...config.edge.forward, telemetryTopic: config.edge.topics.telemetry },
      derived: [],
      events,
      lane: 'normal',
    }),
    batchBytes: 4_000,
    lingerMs: 1,
    stopping: stop.signal,
  });
  atEnd(t, async () => {
    stop.abort();
    await publisher.close();
    await loop;
  });
  await appendReading(spool, 'pump-0', 0);
  await until(() => events.status('rabbitmq').state === 'away', { deadlineMs: 10_000, what: 'the refusal' });

  // The exchanges exist, but nothing is bound: unroutable messages are held, not lost.
  await applyTopology({ url: space.rabbitmqUrl }, { exchanges: brokerTopology.exchanges, queues: [] });
  proxy.admit();
  await until(() => events.status('rabbitmq').state === 'refusing', {
    deadlineMs: 20_000,
    what: 'unroutable',
  });
  assert.equal(spool.reader('rabbitmq').behind.records, 1);
  await createQueue(space);

  for (let i = 1; i < 600; i++) {
    await appendReading(spool, 'pump-0', i);
    if (i % 150 === 75) proxy.cut();
  }
  const seen: number[] = [];
  const queue = openQueue({
    url: space.rabbitmqUrl,
    queue: TEST_QUEUE,
    prefetch: 100,
    log,
    handler: async ({ body }) => {
      for (const line of body.toString().trimEnd().split('\n'))
        seen.push((JSON.parse(line) as { seq: number }).seq);
      return 'ack';
    },
  });
  queue.start();
  atEnd(t, () => queue.stop());
  await until(() => new Set(seen).size === 600, { deadlineMs: 60_000, what: '600 readings in RabbitMQ' });
  const inOrder: number[] = [];
  for (const seq of seen) if (seq > (inOrder.at(-1) ?? -1)) inOrder.push(seq);
  assert.equal(inOrder.length, 600, 'what came first, came in order');
  assert.ok(
    ((await metricValue(metrics, 'weir_forward_not_taken_total', { reason: 'unroutable' })) ?? 0) > 0,
  );
});
