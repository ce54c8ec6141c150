import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type LagGroup, lagDetail, lagExplanation, lagHistory, lagList } from '@weir/api';
import { type ConsumerHandler, openAdmin, openConsumer, openProducer } from '@weir/connect-kafka';
import { applyTopology, openPublisher, openConsumer as openQueueConsumer } from '@weir/connect-rabbitmq';
import { migrate } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, type SpawnedApp, spawnApp, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';

const MIGRATIONS = join(import.meta.dirname, '../../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
/** Verdicts on real servers must be there within this. */
const VERDICT_MS = 30_000;

async function ask(app: SpawnedApp, path: string): Promise<unknown> {
  const response = await fetch(`${app.url}${path}`, { signal: AbortSignal.timeout(5_000) });
  assert.equal(response.status, 200, `${path} answered ${response.status}`);
  return response.json();
}

/** A receiver of webhooks: which verdicts of which groups it was told, as `STOP group firing`. */
async function receiver(t: Parameters<typeof atEnd>[0]) {
  const told: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        alerts: { state: string; device: string; labels: Record<string, string> }[];
      };
      for (const { state, device, labels } of body.alerts) told.push(`${labels.verdict} ${device} ${state}`);
      response.writeHead(204).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.close();
  });
  return { told, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

test('a stopped and a hung consumer and a quiet topic get the right verdict, and the webhook is told', async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true, timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  const { told, url: hook } = await receiver(t);
  const names = ['stopped', 'hung', 'quiet'] as const;
  const groupOf = (name: string): string => `${space.namespace}.${name}`;
  const queueOf = (name: string): string => `lag.${name}`;

  const kafka = { brokers: space.brokers, clientId: 'test', log };
  const admin = openAdmin(kafka);
  const producer = openProducer(kafka);
  await admin.applyTopics(names.map((name) => ({ name: groupOf(name), partitions: 2, config: {} })));
  const rabbitmq = { url: space.rabbitmqUrl };
  await applyTopology(rabbitmq);
  const queue = (name: string) => ({
    ...{ name: queueOf(name), arguments: { 'x-queue-type': 'quorum' }, bindings: [] },
  });
  await applyTopology(rabbitmq, { exchanges: [], queues: names.map(queue) });
  const publisher = openPublisher({ ...rabbitmq, log });
  atEnd(t, async () => {
    await Promise.all([admin.close(), producer.close(), publisher.close()]);
  });
  await producer.connect();
  const send = async (name: string, n: number): Promise<void> => {
    const records = Array.from({ length: n }, (_, i) => ({
      ...{ partition: i % 2, key: Buffer.from(String(i)), value: Buffer.from('x') },
    }));
    await producer.send(groupOf(name), records);
    const message = { exchange: '', key: queueOf(name), body: Buffer.from('x'), contentType: 'text/plain' };
    await publisher.publish(Array.from({ length: n }, () => message));
  };

  /** Consumers that take everything; `hang` makes them hold on to what comes from then on. */
  const consume = async (name: string) => {
    let hangs = false;
    const never = Promise.withResolvers<void>();
    const handler: ConsumerHandler = {
      assigned: () => Promise.resolve(null),
      async batch(partition, records) {
        if (hangs) return never.promise;
        await group.commit(new Map([[partition, (records.at(-1)?.offset ?? 0n) + 1n]]));
      },
      revoked: () => Promise.resolve(),
    };
    const ended = (error: Error): never => {
      throw error;
    };
    const topic = groupOf(name);
    const group = openConsumer({
      ...{ ...kafka, groupId: topic, topic, sessionTimeoutMs: 6_000, handler, onFatal: ended },
    });
    const queue = openQueueConsumer({
      ...{ ...rabbitmq, queue: queueOf(name), prefetch: 5, log },
      handler: async () => {
        if (hangs) await never.promise;
        return 'ack';
      },
    });
    await group.start();
    queue.start();
    const stop = async (): Promise<void> => {
      never.resolve();
      await Promise.all([group.stop(), queue.stop()]);
    };
    atEnd(t, stop);
    return {
      stop,
      hang: () => {
        hangs = true;
      },
    };
  };
  const consumers = new Map<string, Awaited<ReturnType<typeof consume>>>();
  for (const name of names) consumers.set(name, await consume(name));

  const config = join(space.folder, 'weir.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      lagMonitor: { watch: [`${space.namespace}.*`, 'lag.*'] },
      alerter: {
        notifiers: [{ id: 'ops', kind: 'webhook', url: hook, secret: 'a-secret-of-enough-length' }],
      },
    }),
  );
  const env = { ...space.env, WEIR_CONFIG: config };
  const [monitor] = await Promise.all([spawnApp(t, 'lag-monitor', env), spawnApp(t, 'alerter', env)]);
  const groups = async (): Promise<Map<string, LagGroup>> => {
    const list = lagList.parse(await ask(monitor, '/lag'));
    return new Map(list.groups.map((one) => [one.group, one]));
  };
  const verdicts = async (name: string): Promise<string> => {
    const all = await groups();
    return [groupOf(name), queueOf(name)].map((one) => all.get(one)?.verdict).join(' ');
  };

  for (const name of names) await send(name, 20);
  const caughtUp = async (): Promise<boolean> => {
    const all = await groups();
    const both = names.flatMap((name) => [all.get(groupOf(name)), all.get(queueOf(name))]);
    return both.every((one) => one?.verdict === 'OK' && one.lag === 0);
  };
  await until(caughtUp, { deadlineMs: 40_000, everyMs: 500, what: 'everybody to be caught up and OK' });

  consumers.get('hung')?.hang();
  await consumers.get('stopped')?.stop();
  for (const name of ['stopped', 'hung']) await send(name, 20);
  const since = performance.now();
  const wanted = async (): Promise<boolean> =>
    (await verdicts('stopped')) === 'STOP STOP' && (await verdicts('hung')) === 'STALL STALL';
  await until(wanted, { deadlineMs: VERDICT_MS, everyMs: 250, what: 'STOP and STALL' }).catch(
    async (error) => {
      const found = await Promise.all(names.map(verdicts));
      throw new Error(`${(error as Error).message}: ${found.join(', ')}`);
    },
  );
  t.diagnostic(`verdicts after ${Math.round(performance.now() - since)} ms`);
  /** A measurement that misses its deadline makes everything UNKNOWN until the next one. */
  const becomes = (name: string, expected: string): Promise<unknown> =>
    until(async () => (await verdicts(name)) === expected, {
      deadlineMs: VERDICT_MS,
      everyMs: 250,
      what: `${name} to be ${expected}`,
    });
  await becomes('quiet', 'OK OK');

  const bad = ['STOP stopped', 'STALL hung'].flatMap((text) => {
    const [verdict, name] = text.split(' ') as [string, string];
    return [`${verdict} ${groupOf(name)} firing`, `${verdict} ${queueOf(name)} firing`];
  });
  await until(() => bad.every((line) => told.includes(line)), {
    deadlineMs: 30_000,
    what: `a webhook for ${bad}`,
  });
  t.diagnostic(`the webhook knows after ${Math.round(performance.now() - since)} ms`);
  assert.deepEqual(new Set(told), new Set(bad), 'nobody was told of anything else');

  const target = (system: string, group: string): string => new URLSearchParams({ system, group }).toString();
  const assertDetails = async (system: string, name: (of: string) => string): Promise<void> => {
    const { group, members } = lagDetail.parse(
      await ask(monitor, `/lag/group?${target(system, name('stopped'))}`),
    );
    assert.equal(group.lag, 20);
    const timeLagMs = group.timeLagMs ?? 0;
    assert.ok(timeLagMs > 10_000 && timeLagMs < performance.now() - since + 20_000, `${timeLagMs} ms`);
    assert.equal(members.length, system === 'kafka' ? 2 : 1);
    for (const [of, cause] of [
      ['stopped', 'no-consumer'],
      ['hung', 'hung-consumer'],
      ['quiet', 'none'],
    ] as const) {
      const explained = await ask(monitor, `/lag/explain?${target(system, name(of))}`);
      assert.equal(lagExplanation.parse(explained).cause.cause, cause);
    }
  };
  const inMetrics = new RegExp(
    `kafka_consumergroup_lag\\{[^}]*consumergroup="${groupOf('stopped')}"[^}]*\\} 10`,
  );
  await until(
    async () => {
      await assertDetails('kafka', groupOf);
      await assertDetails('rabbitmq', queueOf);
      assert.match(await monitor.metrics(), inMetrics);
      return true;
    },
    { deadlineMs: VERDICT_MS, everyMs: 500, what: 'the details of both' },
  );

  // It comes back: the verdict is OK again, and the alert ends.
  await consume('stopped');
  const over = [groupOf('stopped'), queueOf('stopped')].map((group) => `STOP ${group} resolved`);
  await until(() => over.every((line) => told.includes(line)), {
    deadlineMs: 40_000,
    what: 'the alerts to end',
  });
  await becomes('stopped', 'OK OK');
  const history = lagHistory.parse(await ask(monitor, `/lag/history?${target('kafka', groupOf('stopped'))}`));
  assert.ok(history.points.some(({ verdict, lag }) => verdict === 'STOP' && lag === 20));
});

test('servers that are away are a reason for UNKNOWN, and no crash', async (t) => {
  const space = await isolated(t, { rabbitmq: true, timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  await applyTopology({ url: space.rabbitmqUrl });
  const broken = new URL(space.managementUrl);
  broken.port = '1';
  const env = {
    ...space.env,
    WEIR_KAFKA__BROKERS: '127.0.0.1:1',
    WEIR_LAG_MONITOR__INTERVAL: '500ms',
    WEIR_LAG_MONITOR__WATCH: 'weir.*',
  };
  const app = await spawnApp(t, 'lag-monitor', env);
  const list = async () => lagList.parse(await ask(app, '/lag'));
  const known = async () => {
    const { problems, groups } = await list();
    return problems.length === 1 && groups.some(({ verdict }) => verdict === 'OK') && problems;
  };
  const [problem] = await until(known, {
    deadlineMs: 30_000,
    what: 'queues that are known beside a Kafka that is away',
  });
  assert.equal(problem?.system, 'kafka');
  assert.match(problem?.message ?? '', /127\.0\.0\.1:1/);
  assert.match(
    await app.metrics(),
    /weir_lag_measurements_total\{[^}]*system="kafka",outcome="missing"[^}]*\} [1-9]/,
  );

  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  await app.restart({ WEIR_RABBITMQ__MANAGEMENT_URL: broken.href });
  const nothing = async (): Promise<boolean> => (await list()).problems.length === 2;
  await until(nothing, { deadlineMs: 30_000, what: 'both to be away' });
  assert.deepEqual((await list()).groups, []);
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
});

test('windows that are behind get another aggregator, where that is turned on, and it goes with the monitor', async (t) => {
  const space = await isolated(t);
  await migrate(space.timescaleUrl, MIGRATIONS);
  await applyTopology({ url: space.rabbitmqUrl });
  const { readings, deadLetters, groups } = kafkaTopology(space.namespace);
  const kafka = { brokers: space.brokers, clientId: 'test', log };
  const admin = openAdmin(kafka);
  const producer = openProducer(kafka);
  await admin.applyTopics([readings, deadLetters]);
  await producer.connect();
  const value = Buffer.from('no reading\n');
  const input = setInterval(() => {
    const records = Array.from({ length: 12 }, (_, partition) => ({ partition, key: null, value }));
    producer.send(readings.name, records).catch(() => undefined); // the next one is as good
  }, 250);
  // In the place of the aggregator that runs anyway: it commits the first records, then one record a second.
  const consumer = openConsumer({
    ...{ ...kafka, groupId: groups.aggregator, topic: readings.name, sessionTimeoutMs: 6_000 },
    handler: {
      assigned: () => Promise.resolve(null),
      async batch(partition, records) {
        for (const { offset } of records.slice(0, 5)) {
          await consumer.commit(new Map([[partition, offset + 1n]])).catch(() => undefined);
          await delay(1_000);
        }
      },
      revoked: () => Promise.resolve(),
    },
    onFatal: (error) => {
      throw error;
    },
  });
  atEnd(t, async () => {
    clearInterval(input);
    await consumer.stop();
    await Promise.all([admin.close(), producer.close()]);
  });
  await consumer.start();
  const members = (): Promise<number> => admin.groupSize(groups.aggregator);
  await until(async () => (await members()) === 1, { deadlineMs: 20_000, what: 'the first member' });

  const config = join(space.folder, 'weir.yaml');
  const quick = {
    interval: '1s',
    allowedLag: '1s',
    hold: '1s',
    stallAfter: '1m',
    watch: [groups.aggregator],
  };
  const helpers = { mode: 'on', after: '1s' };
  writeFileSync(config, JSON.stringify({ lagMonitor: { ...quick, helpers } }));
  const monitor = await spawnApp(t, 'lag-monitor', { ...space.env, WEIR_CONFIG: config });
  await until(async () => (await members()) === 2, { deadlineMs: 60_000, what: 'a second member' });
  assert.ok(monitor.logs.some((line) => line.includes('another aggregator on this machine')));
  // One more is not allowed, however long it takes.
  const list = async () => lagList.parse(await ask(monitor, '/lag')).groups[0];
  await until(async () => (await list())?.consumers === 2, {
    deadlineMs: 20_000,
    what: 'the monitor to know',
  });
  assert.deepEqual(await monitor.stop(), { code: 0, signal: null });
  await until(async () => (await members()) === 1, { deadlineMs: 20_000, what: 'the helper to be gone' });
});
