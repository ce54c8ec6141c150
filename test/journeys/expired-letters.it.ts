import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmin } from '@weir/connect-kafka';
import { createLogger } from '@weir/observe';
import {
  atEnd,
  cutProxy,
  type Isolated,
  isolated,
  managementCall,
  spawnApp,
  until,
  withDatabase,
} from '@weir/testkit';
import { kafkaTopology, QUEUES, TABLES } from '@weir/topology';
import { type ConsumeMessage, connect } from 'amqplib';
import kafkajs from 'kafkajs';
import pg from 'pg';
import { LetterWriter } from '../support/letters.ts';
import { weir } from '../support/pipeline.ts';

const QUEUE = QUEUES.alerterTelemetry.name;
const DLQ = QUEUES.alerterTelemetryDlq.name;
/** Shorter than the time for which the index has them in hand, where they cannot expire. */
const TTL_MS = 5_000;
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Sent {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string | number | boolean>>;
  readonly contentType: string;
}

/** Any bytes, from none to more than a frame, and headers of several types. */
const SENT: readonly Sent[] = [0, 1, 2, 255, 256, 4_096, 70_000, 200_000].map((length, n) => ({
  body: randomBytes(length),
  headers: { number: n, text: `grün "${n}"`, flag: n % 2 === 0, fraction: n / 8 },
  contentType: n % 2 === 0 ? 'application/octet-stream' : 'application/x-ndjson',
}));

const queue = async (space: Isolated, name: string) => {
  const path = `/api/queues/${space.namespace}/${name}`;
  return (await managementCall(space.managementUrl, 'GET', path)) as {
    readonly messages?: number;
    readonly messages_unacknowledged?: number;
  };
};
const rows = (space: Isolated, where: string): Promise<number> =>
  withDatabase(space.timescaleUrl, async (client) => {
    const { rows: found } = await client.query(
      `SELECT count(*)::int AS n FROM ${TABLES.deadLetters} WHERE ${where}`,
    );
    return Number(found[0]?.n);
  });

test('letters that have expired from the queue, and from the topic, are replayed from the object store byte for byte', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  await managementCall(space.managementUrl, 'PUT', `/api/policies/${space.namespace}/expiry`, {
    ...{ pattern: '\\.dlq$', 'apply-to': 'queues', priority: 99 },
    definition: { 'message-ttl': TTL_MS, 'delivery-limit': -1 },
  });
  const blocker = new pg.Client({ connectionString: space.timescaleUrl });
  await blocker.connect();
  atEnd(t, () => blocker.end());
  await blocker.query(`
    CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
    CREATE TRIGGER block AFTER INSERT ON ${TABLES.deadLetters} FOR EACH STATEMENT EXECUTE FUNCTION block();
    SELECT pg_advisory_lock(1)`);
  const address = new URL(space.rabbitmqUrl);
  const broker = await cutProxy(t, { host: address.hostname, port: Number(address.port) });
  address.port = String(broker.port);
  const index = await spawnApp(t, 'dead-letters', { ...space.env, WEIR_RABBITMQ__URL: address.href });
  const connection = await connect(space.rabbitmqUrl);
  connection.on('error', () => undefined);
  atEnd(t, () => connection.close());
  const channel = await connection.createConfirmChannel();
  const received: ConsumeMessage[] = [];
  let refuses = true;
  await channel.consume(QUEUE, (message) => {
    if (message === null) return;
    if (refuses) channel.reject(message, false);
    else {
      received.push(message);
      channel.ack(message);
    }
  });
  for (const { body, headers, contentType } of SENT)
    channel.publish('', QUEUE, body, { persistent: true, contentType, headers });
  await channel.waitForConfirms();
  // The index takes them and cannot say so: its acknowledgements never arrive, and RabbitMQ keeps its copies.
  await until(async () => (await queue(space, DLQ)).messages_unacknowledged === SENT.length, {
    deadlineMs: 30_000,
    what: 'every message to be in the hands of the index',
  });
  broker.refuse();
  refuses = false;
  await blocker.query('SELECT pg_advisory_unlock(1)');
  await until(async () => (await rows(space, "origin_system = 'rabbitmq'")) === SENT.length, {
    deadlineMs: 30_000,
    what: 'a row for each message',
  });
  await until(async () => (await queue(space, DLQ)).messages === 0, {
    deadlineMs: 30_000,
    what: 'the copies to expire',
  });

  // Kafka's copies go too, once they are in the index.
  const { readings: lines } = await new LetterWriter(t, space).bury('plant', {
    ...{ payloads: 12, lines: 0, late: 0, messages: 0 },
  });

  const { deadLetters, groups, readings } = kafkaTopology(space.namespace);
  const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
  atEnd(t, () => admin.close());
  await until(async () => (await rows(space, "origin_system = 'mqtt'")) === lines.length, {
    deadlineMs: 30_000,
    what: 'a row for each payload',
  });
  await until(
    async () => (await admin.groupLag(groups.deadLetters, deadLetters.name)).every(({ lag }) => lag === 0n),
    { deadlineMs: 30_000, what: 'the group to have committed all' },
  );
  const kafka = new kafkajs.Kafka({ brokers: [...space.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const raw = kafka.admin();
  await raw.connect();
  atEnd(t, () => raw.disconnect());
  const offsets = await raw.fetchTopicOffsets(deadLetters.name);
  await raw.deleteTopicRecords({
    topic: deadLetters.name,
    partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
  });
  for (const { low, high } of await raw.fetchTopicOffsets(deadLetters.name)) assert.equal(low, high);

  broker.admit();
  await until(async () => (await fetch(`${index.url}/readyz`)).ok, {
    deadlineMs: 30_000,
    what: 'the index to be ready again',
  });
  await spawnApp(t, 'gateway', space.env);
  const why = ['--why', 'the consumer is mended', '--by', 'anna', '--yes', '--json'];
  const replayed = JSON.parse(await weir(space.env, 'dlq', 'replay', '--status', 'open', ...why)) as {
    readonly sent: number;
    readonly failed: number;
  };
  assert.deepEqual([replayed.sent, replayed.failed], [SENT.length + lines.length, 0]);

  await until(() => received.length >= SENT.length, { deadlineMs: 20_000, what: 'every message again' });
  await delay(500); // one that came twice would be here by now
  const shown = (one: Pick<Sent, 'contentType' | 'headers'>, body: Buffer): string =>
    JSON.stringify([sha256(body), one.contentType, Object.entries(one.headers).sort()]);
  assert.deepEqual(
    received
      .map(({ content, properties }) => {
        const headers = Object.entries(properties.headers ?? {}).filter(
          ([name]) => !name.startsWith('x-dlq-'),
        );
        return shown({ contentType: properties.contentType, headers: Object.fromEntries(headers) }, content);
      })
      .sort(),
    SENT.map((one) => shown(one, one.body)).sort(),
  );
  for (const { properties } of received) assert.equal(properties.headers?.['x-dlq-replayed-by'], 'anna');

  // A payload travels inside its line, as the device sent it.
  const found: string[] = [];
  const consumer = kafka.consumer({ groupId: `${space.namespace}.test` });
  atEnd(t, () => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic: readings.name, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void found.push(String(message.value)) });
  await until(() => found.length >= lines.length, { deadlineMs: 20_000, what: 'every line in the log' });
  for (const { ts, seq, value } of lines) {
    const payload = `"payload":${JSON.stringify({ ts, seq, value })}`;
    assert.equal(found.filter((line) => line.includes(payload)).length, 1, payload);
  }
});
