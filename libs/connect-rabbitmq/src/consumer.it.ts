import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { parseDeadLetter } from '@weir/reading';
import { cutProxy, isolated, type Scope, until } from '@weir/testkit';
import {
  DURABLE_QUEUES,
  EXCHANGES,
  liveQueueArguments,
  QUEUES,
  type Queue,
  RETRY_DELAYS_MS,
  retryQueueName,
  telemetryKey,
} from '@weir/topology';
import {
  applyTopology,
  brokerTopology,
  type ConsumerOptions,
  type Delivery,
  manage,
  openConsumer,
  openLiveQueue,
  openPublisher,
} from './index.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const space = await isolated({ after }, { rabbitmq: true });
const QUEUE = QUEUES.alerterTelemetry.name;
const DLQ = QUEUES.alerterTelemetryDlq.name;

const numberOf = (delivery: Delivery): number => Number(delivery.body.toString());

async function publish(from: number, to: number, key = telemetryKey('normal', 'plant', 'm')): Promise<void> {
  const messages = Array.from({ length: to - from }, (_, i) => ({
    exchange: EXCHANGES.telemetry.name,
    key,
    body: Buffer.from(String(from + i)),
    headers: { site: 'plant' },
    contentType: 'text/plain',
  }));
  assert.equal((await publisher.publish(messages)).size, 0);
}

/** The broker behind a proxy whose connections the test can cut. */
async function proxied(t: Scope) {
  const url = new URL(space.rabbitmqUrl);
  const proxy = await cutProxy(t, { host: url.hostname, port: Number(url.port) });
  url.host = `127.0.0.1:${proxy.port}`;
  return { proxy, url: url.href };
}

function consume(t: Scope, options: Partial<ConsumerOptions> & Pick<ConsumerOptions, 'handler'>) {
  const consumer = openConsumer({ url: space.rabbitmqUrl, queue: QUEUE, prefetch: 10, log, ...options });
  t.after(() => consumer.stop());
  consumer.start();
  return consumer;
}

/** Messages in a queue, ready and unsettled, counted by the queue itself. */
async function depth(queue: string): Promise<{ ready: number; unacked: number }> {
  const row = await manage<{ messages_ready?: number; messages_unacknowledged?: number }>(
    space.managementUrl,
    `/api/queues/${space.namespace}/${queue}`,
  );
  return { ready: row.messages_ready ?? 0, unacked: row.messages_unacknowledged ?? 0 };
}

await applyTopology({ url: space.rabbitmqUrl });
const publisher = openPublisher({ url: space.rabbitmqUrl, log });
after(() => publisher.close());

test('prefetch bounds the deliveries in hand', async (t) => {
  await publish(0, 200);
  let inHand = 0;
  let most = 0;
  let done = 0;
  const waiting: (() => void)[] = [];
  const consumer = consume(t, {
    prefetch: 7,
    handler: async () => {
      inHand++;
      most = Math.max(most, inHand);
      await new Promise<void>((resolve) => waiting.push(resolve));
      inHand--;
      done++;
      return 'ack';
    },
  });
  await until(() => inHand === 7, { deadlineMs: 10_000, what: 'seven deliveries in hand' });
  assert.equal(consumer.inFlight, 7);
  await until(
    () => {
      for (const resolve of waiting.splice(0)) resolve();
      return done === 200;
    },
    { deadlineMs: 20_000, what: 'all 200', everyMs: 5 },
  );
  assert.equal(most, 7);
});

test('a delivery has its key, headers, type and body', async (t) => {
  let seen: Delivery | undefined;
  consume(t, {
    handler: async (delivery) => {
      seen = delivery;
      return 'ack';
    },
  });
  await publish(7, 8);
  const delivery = await until(() => seen, { deadlineMs: 10_000, what: 'the message' });
  assert.equal(delivery.key, 'telemetry.normal.plant.m');
  assert.equal(delivery.exchange, 'weir.telemetry');
  assert.equal(delivery.headers.site, 'plant');
  assert.equal(delivery.contentType, 'text/plain');
  assert.equal(delivery.deliveryCount, 0);
  assert.equal(delivery.body.toString(), '7');
});

test('at least once through lost connections', async (t) => {
  const { proxy, url } = await proxied(t);
  const seen = new Set<number>();
  let cuts = 0;
  consume(t, {
    url,
    handler: async (delivery) => {
      seen.add(numberOf(delivery));
      if (cuts < 3 && seen.size === (cuts + 1) * 100) {
        cuts++;
        proxy.cut();
      }
      return 'ack';
    },
  });
  await publish(0, 1_000);
  await until(() => seen.size === 1_000, { deadlineMs: 30_000, what: 'all 1,000 in spite of three cuts' });
  assert.equal(cuts, 3);
  await until(async () => (await depth(QUEUE)).unacked + (await depth(QUEUE)).ready === 0, {
    deadlineMs: 30_000,
    what: 'an empty queue',
  });
});

test('a message whose handler fails goes to the dead letters after the delivery limit', async (t) => {
  const tries = new Map<number, number>();
  consume(t, {
    handler: async (delivery) => {
      const n = numberOf(delivery);
      tries.set(n, (tries.get(n) ?? 0) + 1);
      return n === 1 ? 'reject' : 'ack';
    },
  });
  await publish(0, 3);
  await until(() => tries.get(2) === 1 && tries.get(1) === 6, {
    deadlineMs: 15_000,
    what: 'six tries of the poison message',
  });
  const dead: Delivery[] = [];
  consume(t, {
    queue: DLQ,
    handler: async (delivery) => {
      dead.push(delivery);
      return 'ack';
    },
  });
  await until(() => dead.length === 1, { deadlineMs: 15_000, what: 'the dead letter' });
  const [letter] = dead as [Delivery];
  assert.equal(letter.body.toString(), '1');
  assert.equal((letter.headers['x-death'] as { reason: string }[])[0]?.reason, 'delivery_limit');
  assert.equal(tries.get(0), 1);
});

/** A queue with a ladder whose rungs are short. */
async function laddered(t: Scope, delaysMs: readonly number[]) {
  const queue = `weir.test.ladder-${delaysMs.join('-')}`;
  const rung = RETRY_DELAYS_MS[0];
  const like = (name: string): Queue => DURABLE_QUEUES.find((one) => one.name === name) as Queue;
  const queues = [
    { ...like(QUEUE), name: queue, bindings: [{ exchange: EXCHANGES.telemetry.name, key: `${queue}.#` }] },
    ...delaysMs.map((delayMs) => ({
      name: retryQueueName(queue, delayMs),
      arguments: {
        ...like(retryQueueName(QUEUE, rung)).arguments,
        'x-message-ttl': delayMs,
        'x-dead-letter-routing-key': queue,
      },
      bindings: [],
    })),
    { ...like(DLQ), name: `${queue}.dlq`, bindings: [{ exchange: EXCHANGES.deadLetters.name, key: queue }] },
  ];
  await applyTopology({ url: space.rabbitmqUrl }, { exchanges: brokerTopology.exchanges, queues });
  const dead: Delivery[] = [];
  consume(t, {
    queue: `${queue}.dlq`,
    handler: async (delivery) => {
      dead.push(delivery);
      return 'ack';
    },
  });
  return { queue, key: `${queue}.m`, dead };
}

test('a message that fails climbs the ladder, each attempt later than the one before, and is buried', async (t) => {
  const delaysMs = [200, 700, 1_300];
  const { queue, key, dead } = await laddered(t, delaysMs);
  const tries: { at: number; delivery: Delivery }[] = [];
  const outcomes: string[] = [];
  consume(t, {
    queue,
    retry: { stage: 'try-it', delaysMs, onFailure: (outcome) => outcomes.push(outcome) },
    handler: async (delivery) => {
      if (numberOf(delivery) !== 1) return 'ack';
      tries.push({ at: performance.now(), delivery });
      return { failed: new WeirError('WEIR_TIMEOUT', 'transient', 'the far side did not answer 17 times') };
    },
  });
  await publish(0, 3, key);
  await until(() => dead.length === 1, { deadlineMs: 30_000, what: 'the dead letter' });
  assert.equal(tries.length, 4, 'the first attempt and one after each rung');
  for (const [i, delayMs] of delaysMs.entries()) {
    const waited = (tries[i + 1]?.at ?? 0) - (tries[i]?.at ?? 0);
    assert.ok(waited >= delayMs * 0.95, `attempt ${i + 2} came after ${waited} ms`);
  }
  for (const { delivery } of tries) {
    assert.deepEqual([delivery.exchange, delivery.key], [EXCHANGES.telemetry.name, key]);
    assert.equal(delivery.headers.site, 'plant');
  }
  const [letter] = dead as [Delivery];
  assert.equal(letter.body.toString(), '1');
  assert.equal(letter.headers.site, 'plant');
  assert.equal(letter.key, key, 'where it was published first');
  assert.equal(letter.headers['x-death'], undefined);
  const parsed = parseDeadLetter(letter.headers as Record<string, string>);
  assert.equal(parsed?.reason, 'timeout');
  assert.equal(parsed?.stage, 'try-it');
  assert.equal(parsed?.origin, queue);
  assert.equal(parsed?.retryable, true);
  assert.ok((parsed?.lastFailedAt ?? 0) - (parsed?.firstFailedAt ?? 0) >= 2_000);
  // The letter may be here before its burial is confirmed over there.
  await until(() => outcomes.length >= 4, { deadlineMs: 20_000, what: 'the burial to be told' });
  assert.deepEqual(outcomes, ['waits', 'waits', 'waits', 'buried']);
});

test('what no attempt can mend is buried at once; a letter that was sent again stays the same letter', async (t) => {
  const { queue, key, dead } = await laddered(t, [100]);
  consume(t, {
    queue,
    retry: { stage: 'decode', delaysMs: [100] },
    handler: async () => ({ failed: new WeirError('WEIR_DECODE', 'data', 'it is not JSON') }),
  });
  await publish(1, 2, key);
  const first = await until(() => dead[0], { deadlineMs: 10_000, what: 'the letter' });
  assert.equal(first.headers['x-dlq-reason'], 'decode');
  assert.equal(first.headers['x-dlq-retryable'], 'false');
  const again = { ...first.headers, 'x-dlq-replay-count': '1', 'x-dlq-replay-task-id': 'task-1' };
  const { body } = first;
  await publisher.publish([{ exchange: '', key: queue, body, headers: again, contentType: 'text/plain' }]);
  const second = await until(() => dead[1], { deadlineMs: 10_000, what: 'the letter once more' });
  assert.equal(second.headers['x-dlq-id'], first.headers['x-dlq-id']);
  assert.equal(second.headers['x-dlq-replay-count'], '1');
  assert.equal(second.headers['x-dlq-replay-task-id'], 'task-1');
  assert.equal(second.key, key);
});

test('without its rungs a message goes back to its queue, and to the dead letters by the delivery limit', async (t) => {
  const outcomes: string[] = [];
  consume(t, {
    retry: { stage: 'try-it', delaysMs: [12_345], onFailure: (outcome) => outcomes.push(outcome) },
    handler: async () => ({ failed: new Error('no') }),
  });
  const dead: Delivery[] = [];
  consume(t, {
    queue: DLQ,
    handler: async (delivery) => {
      dead.push(delivery);
      return 'ack';
    },
  });
  await publish(1, 2);
  await until(() => dead.length === 1, { deadlineMs: 15_000, what: 'the dead letter' });
  assert.deepEqual(new Set(outcomes), new Set(['returned']));
});

test('10,000 bad messages and then a good one: all buried, the good one handled', async (t) => {
  let good = false;
  let bad = 0;
  consume(t, {
    prefetch: 500,
    handler: async (delivery) => {
      if (numberOf(delivery) === 10_000) {
        good = true;
        return 'ack';
      }
      bad++;
      return 'reject';
    },
  });
  await publish(0, 10_001);
  await until(() => good, { deadlineMs: 60_000, what: 'the good message' });
  let dead = 0;
  consume(t, {
    queue: DLQ,
    prefetch: 500,
    handler: async () => {
      dead++;
      return 'ack';
    },
  });
  await until(() => dead >= 10_000, { deadlineMs: 60_000, what: '10,000 dead letters' });
  assert.equal(dead, 10_000);
  assert.equal(bad, 60_000, 'one delivery and five more each');
});

test('requeue puts the message back', async (t) => {
  let tries = 0;
  consume(t, {
    handler: async () => {
      tries++;
      return tries < 3 ? 'requeue' : 'ack';
    },
  });
  await publish(0, 1);
  await until(() => tries === 3, { deadlineMs: 10_000, what: 'the third try' });
});

test('stop waits for the handlers in flight, settles them and leaves the rest in the queue', async (t) => {
  const released = Promise.withResolvers<void>();
  const seen: number[] = [];
  const consumer = consume(t, {
    prefetch: 5,
    handler: async (delivery) => {
      seen.push(numberOf(delivery));
      await released.promise;
      return 'ack';
    },
  });
  await publish(0, 20);
  await until(() => seen.length === 5, { deadlineMs: 10_000, what: 'five in hand' });
  let stopped = false;
  const stopping = consumer.stop().then(() => {
    stopped = true;
  });
  await publisher.publish([]);
  assert.equal(stopped, false);
  assert.equal(consumer.inFlight, 5);
  released.resolve();
  await stopping;
  assert.equal(consumer.consuming, false);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  const rest: number[] = [];
  consume(t, {
    handler: async (delivery) => {
      rest.push(numberOf(delivery));
      return 'ack';
    },
  });
  await until(() => rest.length >= 15, { deadlineMs: 15_000, what: 'the other 15' });
  assert.deepEqual(rest, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
});

test('a deleted queue cancels the subscription; it is taken up again when the queue is back', async (t) => {
  const seen: number[] = [];
  const consumer = consume(t, {
    handler: async (delivery) => {
      seen.push(numberOf(delivery));
      return 'ack';
    },
  });
  await until(() => consumer.consuming, { deadlineMs: 10_000, what: 'the subscription' });
  await manage(space.managementUrl, `/api/queues/${space.namespace}/${QUEUE}`, { method: 'DELETE' });
  await until(() => !consumer.consuming && /weir up|cancelled/.test(consumer.lastError?.message ?? ''), {
    deadlineMs: 10_000,
    what: 'the loss to be noticed',
  });
  await applyTopology({ url: space.rabbitmqUrl });
  await publish(1, 2);
  await until(() => seen.length === 1, { deadlineMs: 20_000, what: 'the message after the return' });
});

test('a live queue drops its oldest messages, and is made anew after a loss', async (t) => {
  const { proxy, url } = await proxied(t);
  const seen: number[] = [];
  let gate = Promise.withResolvers<void>();
  const live = openLiveQueue({
    url,
    bindings: [{ exchange: EXCHANGES.telemetry.name, key: 'live.#' }],
    arguments: { ...liveQueueArguments, 'x-max-length': 100 },
    prefetch: 10,
    handler: async (delivery) => {
      await gate.promise;
      seen.push(numberOf(delivery));
    },
    log,
  });
  t.after(() => live.stop());
  live.start();
  await until(() => live.consuming, { deadlineMs: 10_000, what: 'the live queue' });
  await publish(0, 1_000, 'live.a');
  gate.resolve();
  await until(() => seen.at(-1) === 999, { deadlineMs: 10_000, what: 'the newest message' });
  assert.ok(seen.length <= 110, `${seen.length} of 1,000 arrived`);
  assert.deepEqual(
    seen.slice(-100),
    Array.from({ length: 100 }, (_, i) => 900 + i),
    'the newest 100, in order',
  );
  gate = Promise.withResolvers<void>();
  gate.resolve();
  // The loss itself may be over before a question sees it: a second connection is the proof of it.
  const { accepted } = proxy;
  proxy.cut();
  await until(() => proxy.accepted > accepted && live.consuming, {
    deadlineMs: 20_000,
    what: 'the new live queue',
  });
  await publish(5_000, 5_001, 'live.b');
  await until(() => seen.at(-1) === 5_000, { deadlineMs: 10_000, what: 'a message after the loss' });
});
