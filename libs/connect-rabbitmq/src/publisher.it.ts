import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { cutProxy, isolated, type Scope, until } from '@weir/testkit';
import { EXCHANGES, telemetryKey } from '@weir/topology';
import { connect } from 'amqplib';
import { applyTopology, type OutgoingMessage, openPublisher, type Publisher } from './index.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const space = await isolated({ after }, { rabbitmq: true });

const telemetry = (n: number, key = telemetryKey('normal', 'plant', 'temperature')): OutgoingMessage => ({
  exchange: EXCHANGES.telemetry.name,
  key,
  body: Buffer.from(`{"n":${n}}\n`),
  headers: { site: 'plant', count: 1 },
  contentType: 'application/x-ndjson',
});

/** Takes everything out of a queue, in order. */
async function drain(queue: string): Promise<string[]> {
  const connection = await connect(space.rabbitmqUrl);
  const channel = await connection.createChannel();
  const bodies: string[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) break;
    bodies.push(message.content.toString());
  }
  await connection.close();
  return bodies;
}

/** The broker behind a proxy whose connections the test can cut. */
async function proxied(t: Scope) {
  const url = new URL(space.rabbitmqUrl);
  const proxy = await cutProxy(t, { host: url.hostname, port: Number(url.port) });
  url.host = `127.0.0.1:${proxy.port}`;
  return { proxy, url: url.href };
}

function publisherOf(t: Scope, url = space.rabbitmqUrl): Publisher {
  const publisher = openPublisher({ url, log, heartbeatMs: 1_000, name: 'publisher test' });
  t.after(() => publisher.close());
  return publisher;
}

// A queue of our own: a quorum queue with a single active consumer, as the alerter's, refuses basic.get.
const QUEUE = 'weir.test.telemetry';
await applyTopology({ url: space.rabbitmqUrl });
await applyTopology(
  { url: space.rabbitmqUrl },
  {
    exchanges: [],
    queues: [
      {
        name: QUEUE,
        arguments: { 'x-queue-type': 'quorum' },
        bindings: [{ exchange: EXCHANGES.telemetry.name, key: 'telemetry.#' }],
      },
    ],
  },
);

test('a batch is confirmed as a whole and arrives in order with its properties', async (t) => {
  const publisher = publisherOf(t);
  const failures = await publisher.publish(Array.from({ length: 1_000 }, (_, n) => telemetry(n)));
  assert.equal(failures.size, 0);
  const bodies = await drain(QUEUE);
  assert.deepEqual(
    bodies,
    Array.from({ length: 1_000 }, (_, n) => `{"n":${n}}\n`),
  );
});

test('messages without a queue are returned under their index, the others arrive', async (t) => {
  const publisher = publisherOf(t);
  const failures = await publisher.publish([
    telemetry(0),
    telemetry(1, 'nobody.listens'),
    telemetry(2),
    telemetry(3, 'nobody.listens'),
  ]);
  assert.deepEqual(
    [...failures],
    [
      [1, 'unroutable'],
      [3, 'unroutable'],
    ],
  );
  assert.deepEqual(await drain(QUEUE), ['{"n":0}\n', '{"n":2}\n']);
});

test('concurrent batches get their own answers', async (t) => {
  const publisher = publisherOf(t);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      publisher.publish([telemetry(n, n % 2 === 0 ? undefined : 'nobody.listens'), telemetry(n)]),
    ),
  );
  for (const [n, failures] of answers.entries()) {
    assert.deepEqual([...failures], n % 2 === 0 ? [] : [[0, 'unroutable']], `batch ${n}`);
  }
  assert.equal((await drain(QUEUE)).length, 30);
});

test('a queue that is full refuses: the message is nacked', async (t) => {
  const queue = 'weir.test.full';
  await applyTopology(
    { url: space.rabbitmqUrl },
    {
      exchanges: [],
      queues: [
        {
          name: queue,
          arguments: { 'x-queue-type': 'classic', 'x-max-length': 2, 'x-overflow': 'reject-publish' },
          bindings: [{ exchange: EXCHANGES.telemetry.name, key: 'full' }],
        },
      ],
    },
  );
  const publisher = publisherOf(t);
  for (const n of [0, 1]) assert.equal((await publisher.publish([telemetry(n, 'full')])).size, 0);
  assert.deepEqual([...(await publisher.publish([telemetry(2, 'full'), telemetry(3)]))], [[0, 'nacked']]);
  assert.deepEqual(await drain(queue), ['{"n":0}\n', '{"n":1}\n']);
  await drain(QUEUE);
});

test('at least once through lost connections: what was confirmed is in the queue, in order', async (t) => {
  const { proxy, url } = await proxied(t);
  const publisher = publisherOf(t, url);
  const confirmed: number[] = [];
  let losses = 0;
  for (let first = 0; first < 3_000; ) {
    const batch = Array.from({ length: 100 }, (_, i) => telemetry(first + i));
    await publisher.connect();
    const sending = publisher.publish(batch);
    if (losses < 5 && first >= losses * 500) setImmediate(proxy.cut);
    try {
      assert.equal((await sending).size, 0);
      for (let i = 0; i < 100; i++) confirmed.push(first + i);
      first += 100;
    } catch (error) {
      assert.ok(error instanceof WeirError && error.retry === 'transient', String(error));
      losses++;
    }
  }
  assert.equal(losses, 5, 'each cut was noticed');
  const arrived = (await drain(QUEUE)).map((body) => (JSON.parse(body) as { n: number }).n);
  assert.deepEqual(
    [...new Set(arrived)].sort((a, b) => a - b),
    confirmed,
  );
});

test('a broker that falls silent is noticed by the heartbeat', async (t) => {
  const { proxy, url } = await proxied(t);
  const publisher = publisherOf(t, url);
  await publisher.connect();
  proxy.mute();
  await assert.rejects(publisher.publish([telemetry(0)]), {
    code: 'WEIR_CONNECTION_LOST',
    retry: 'transient',
  });
  assert.equal(publisher.connected, false);
  assert.equal((await publisher.publish([telemetry(1)])).size, 0, 'the next publish connects again');
  await drain(QUEUE);
});

test('a missing exchange is named, and the publisher works again once it exists', async (t) => {
  const publisher = publisherOf(t);
  const message = { ...telemetry(0), exchange: 'weir.test.missing' };
  await assert.rejects(publisher.publish([telemetry(0), message]), (error: WeirError) => {
    assert.equal(error.code, 'WEIR_STATE');
    assert.equal(error.retry, 'transient');
    assert.match(error.message, /weir\.test\.missing/);
    assert.match(error.message, /weir up/);
    return true;
  });
  const exchanges = [{ name: 'weir.test.missing', kind: 'topic' }] as const;
  await applyTopology({ url: space.rabbitmqUrl }, { exchanges, queues: [] });
  assert.deepEqual([...(await publisher.publish([message]))], [[0, 'unroutable']]);
  await drain(QUEUE);
});

test('what AMQP cannot carry is refused before anything is sent', async (t) => {
  const publisher = publisherOf(t);
  await assert.rejects(publisher.publish([telemetry(0), telemetry(1, 'x'.repeat(256))]), {
    code: 'WEIR_RANGE',
    retry: 'data',
  });
  await assert.rejects(publisher.publish([{ ...telemetry(0), headers: { note: 'x'.repeat(65_536) } }]), {
    retry: 'data',
  });
  assert.equal((await publisher.publish([telemetry(2)])).size, 0);
  assert.deepEqual(await drain(QUEUE), ['{"n":2}\n']);
});

test('wrong credentials are fatal, an absent broker or virtual host is transient', async (t) => {
  await assert.rejects(publisherOf(t, 'amqp://a:b@127.0.0.1:1/x').connect(), {
    code: 'WEIR_CONNECT_FAILED',
    retry: 'transient',
  });
  const wrong = new URL(space.rabbitmqUrl);
  wrong.password = 'wrong';
  await assert.rejects(publisherOf(t, wrong.href).connect(), (error: WeirError) => {
    assert.equal(error.code, 'WEIR_UNAUTHORIZED');
    assert.equal(error.retry, 'fatal');
    assert.doesNotMatch(error.message, /wrong/, 'no password in a message');
    return true;
  });
  const nowhere = new URL(space.rabbitmqUrl);
  nowhere.pathname = '/no-such-vhost';
  await assert.rejects(publisherOf(t, nowhere.href).connect(), {
    code: 'WEIR_UNAUTHORIZED',
    retry: 'transient',
    message: /virtual host/,
  });
});

test('close ends a publish that waits, and is idempotent', async (t) => {
  const { proxy, url } = await proxied(t);
  const publisher = publisherOf(t, url);
  await publisher.connect();
  proxy.mute();
  const waiting = assert.rejects(publisher.publish([telemetry(0)]), { retry: 'transient' });
  await publisher.close();
  await waiting;
  await publisher.close();
  await assert.rejects(publisher.publish([telemetry(0)]), { code: 'WEIR_STATE' });
  await until(async () => (await drain(QUEUE)).length <= 1, {
    deadlineMs: 5_000,
    what: 'an empty queue',
  });
});
