import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '@weir/config';
import { applyTopology, openConsumer as openQueue } from '@weir/connect-rabbitmq';
import { createLogger, Metrics } from '@weir/observe';
import { atEnd, type Isolated, isolated, type Scope, until } from '@weir/testkit';
import { EXCHANGES, eventKey } from '@weir/topology';
import { EdgeClock } from '../clock/index.ts';
import { eventBody, type Spool } from '../spool/index.ts';
import { appendReading, metricValue, testSpool } from './fixture.ts';
import { type Forwarders, startForwarders } from './index.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const NORMAL = 'weir.test.normal';
const CRITICAL = 'weir.test.critical';
const EVENTS = 'weir.test.events';
/** Messages that a test queue holds before it refuses. */
const FULL = 5;

/** Queues of the test's own beside those of Weir; the ones in `full` refuse beyond `FULL` messages. */
async function setUp(t: Scope, full: readonly string[]): Promise<Isolated> {
  const space = await isolated(t, { rabbitmq: true });
  const { telemetry, events } = EXCHANGES;
  const queue = (name: string, exchange: string, key: string) => ({
    name,
    arguments: {
      'x-queue-type': 'classic',
      ...(full.includes(name) ? { 'x-max-length': FULL, 'x-overflow': 'reject-publish' } : {}),
    },
    bindings: [{ exchange, key }],
  });
  await applyTopology({ url: space.rabbitmqUrl });
  await applyTopology(
    { url: space.rabbitmqUrl },
    {
      exchanges: [],
      queues: [
        queue(NORMAL, telemetry.name, 'telemetry.normal.#'),
        queue(CRITICAL, telemetry.name, 'telemetry.critical.#'),
        queue(EVENTS, events.name, '#'),
      ],
    },
  );
  return space;
}

/** An edge without doors, whose Kafka is away. */
async function start(space: Isolated) {
  const spool = await testSpool(join(space.folder, 'spool'));
  const metrics = new Metrics('edge');
  const env = {
    ...space.env,
    WEIR_EDGE__FORWARD__CRITICAL_METRICS: 'smoke',
    WEIR_KAFKA__BROKERS: '127.0.0.1:1',
  };
  const forwarders = startForwarders(
    {
      config: loadConfig({ env }),
      log,
      metrics,
      fatal: (_, error) => {
        throw error;
      },
    },
    spool,
    new EdgeClock({ dir: space.folder, maxAheadMs: 10_000 }),
  );
  const stop = async (): Promise<void> => {
    await forwarders.stop();
    await spool.close();
  };
  return { spool, metrics, forwarders, stop };
}

/** What a consumer of `queue` gets from now on: the `seq` of each reading, or `kind` of an event. */
function consume(t: Scope, space: Isolated, queue: string): (number | string)[] {
  const found: (number | string)[] = [];
  const consumer = openQueue({
    url: space.rabbitmqUrl,
    queue,
    prefetch: 100,
    log,
    handler: async ({ body }) => {
      for (const text of body.toString().trimEnd().split('\n')) {
        const { seq, kind } = JSON.parse(text) as { seq?: number; kind?: string };
        found.push(seq ?? String(kind));
      }
      return 'ack';
    },
  });
  consumer.start();
  atEnd(t, () => consumer.stop());
  return found;
}

/** Appends normal readings of more metrics than a full queue takes, until the normal lane is refused. */
async function fillNormal(spool: Spool, forwarders: Forwarders): Promise<number> {
  const count = 4 * FULL;
  for (let seq = 0; seq < count; seq++) await appendReading(spool, 'pump-1', seq, { metric: `m${seq}` });
  await until(() => forwarders.status('rabbitmq').state === 'refusing', {
    deadlineMs: 30_000,
    what: 'the normal queue to be full',
  });
  return count;
}
async function appendSmoke(spool: Spool, first: number, count: number): Promise<void> {
  for (let seq = first; seq < first + count; seq++)
    await appendReading(spool, 'pump-1', seq, { metric: 'smoke', critical: true });
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const within = { deadlineMs: 30_000, everyMs: 1 };

test('a full normal queue holds up no critical reading, over a restart as well; drained, it gets everything', async (t) => {
  const space = await setUp(t, [NORMAL]);
  const first = await start(space);
  atEnd(t, first.stop);
  const sent = await fillNormal(first.spool, first.forwarders);

  const stored = (): Promise<number | undefined> =>
    metricValue(first.metrics, 'weir_ledger_readings_total', { hop: 'forward-rabbitmq', outcome: 'stored' });
  const before = (await stored()) ?? 0;

  const smoke = consume(t, space, CRITICAL);
  const began = performance.now();
  await appendSmoke(first.spool, 0, 1);
  await until(() => smoke.length === 1, { ...within, what: 'a critical reading' });
  t.diagnostic(`from the spool into a critical consumer: ${Math.round(performance.now() - began)} ms`);
  await appendSmoke(first.spool, 1, 199);
  await until(() => smoke.length >= 200, { ...within, what: '200 critical readings' });
  assert.deepEqual(smoke, upTo(200), 'each once, in order');
  await until(() => first.forwarders.status('critical').records === 0, { ...within, what: 'the commit' });
  const { state, lastError } = first.forwarders.status('critical');
  assert.deepEqual([state, lastError], ['delivering', null]);
  const waiting = sent - before;
  assert.ok(first.forwarders.status('rabbitmq').records >= waiting);
  assert.equal(await stored(), before + 200);
  const hop = { hop: 'forward-rabbitmq' };
  assert.equal(await metricValue(first.metrics, 'weir_backpressure_state', hop), 2, 'a lane is held');
  await first.stop();

  const second = await start(space);
  atEnd(t, second.stop);
  assert.ok(second.spool.reader('rabbitmq').behind.records >= waiting, 'each lane goes on where it was');
  await appendSmoke(second.spool, 200, 50);
  await until(() => smoke.length >= 250, { ...within, what: '50 more critical readings' });
  assert.deepEqual([...new Set(smoke)], upTo(250), 'in order, what was sent again left out');
  await until(() => second.forwarders.status('rabbitmq').state === 'refusing', {
    ...within,
    what: 'the normal queue to be full still',
  });

  const normal = consume(t, space, NORMAL);
  await until(() => new Set(normal).size === sent, { ...within, what: 'every normal reading' });
  await until(() => second.forwarders.status('rabbitmq').records === 0, { ...within, what: 'the commit' });
  assert.deepEqual([...new Set(smoke)], upTo(250));
});

test('no event overtakes a critical reading: the normal lane waits with events for the critical one', async (t) => {
  const space = await setUp(t, [CRITICAL]);
  const { spool, forwarders, stop } = await start(space);
  atEnd(t, stop);
  const events = consume(t, space, EVENTS);
  const normal = consume(t, space, NORMAL);
  // A message each: the queue is full after some of them.
  for (let seq = 0; forwarders.status('critical').state !== 'refusing'; seq++) {
    await appendSmoke(spool, seq, 1);
    await until(
      () => forwarders.status('critical').records === 0 || forwarders.status('critical').state === 'refusing',
      {
        ...within,
        what: 'an answer of the critical queue',
      },
    );
  }
  await appendReading(spool, 'pump-1', 7, { metric: 'heat' });
  await until(() => normal.length === 1, { ...within, what: 'a normal reading, which waits for nobody' });
  const event = { key: eventKey('plant', 'connected'), body: { kind: 'connected' } };
  const entry = { kind: 'event', critical: false, partition: 0, count: 0, body: eventBody(event) } as const;
  await new Promise<void>((resolve) => spool.append(entry, () => resolve()));
  await appendReading(spool, 'pump-1', 8, { metric: 'heat' });
  await until(() => forwarders.status('rabbitmq').records === 2, { ...within, what: 'the event to wait' });
  assert.deepEqual(events, []);

  const smoke = consume(t, space, CRITICAL);
  await until(() => events.length === 1 && normal.length === 2, { ...within, what: 'the event' });
  assert.deepEqual(events, ['connected']);
  assert.ok(smoke.length > FULL, 'behind the readings');
});
