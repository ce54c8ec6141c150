import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ledger, ledger as ledgerShape } from '@weir/api';
import { isolated, spawnApp, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';
import kafkajs from 'kafkajs';
import { makeLetters, publishLetters } from '../support/buried.ts';
import { weir } from '../support/pipeline.ts';

/** The promise: a loss is shown within a minute. */
const SHOWN = { deadlineMs: 60_000, everyMs: 250 };

test('dead letters are counted once through kill -9; those that leave Kafka unread are missing, exactly', {
  timeout: 240_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const letters = (count: number) => [
    ...makeLetters([{ reason: 'decode', site: 'plant-1', devices: 40, count }], Date.now() - 3_600_000),
  ];
  const queued = makeLetters([{ reason: 'rejected', site: 'plant-1', devices: 4, count: 30 }], Date.now());
  const ofQueue = [...queued].filter(({ id }) => id === null);
  assert.ok(ofQueue.length > 0, 'letters without an id are those of RabbitMQ');
  await publishLetters(space, [...letters(800), ...ofQueue]);
  const env = {
    ...space.env,
    ...{ WEIR_DEAD_LETTERS__PACK_LETTERS: '50', WEIR_KAFKA__SESSION_TIMEOUT: '6s' },
  };
  const [app, monitor] = await Promise.all([
    spawnApp(t, 'dead-letters', env),
    spawnApp(t, 'lag-monitor', env),
  ]);
  const ask = async (): Promise<Ledger | null> => {
    const response = await fetch(`${monitor.url}/ledger`);
    return response.ok ? ledgerShape.parse(await response.json()) : null;
  };
  const seen: string[] = [];
  /** What the newest answer says of the letters of Kafka, and what came out of queues. */
  const letterFigures = async () => {
    const found = await ask();
    const hop = found?.hops.find((one) => one.hop === 'dead-letters');
    const queues = found?.flows.find(({ flow }) => flow === 'dead-letter-queues');
    if (found !== null && found.residual > 0) seen.push(found.text);
    return [hop?.accepted, hop?.stored, hop?.inFlight, hop?.residual, queues?.stored, queues?.inFlight];
  };
  const shows = (expected: readonly number[], what: string) =>
    until(async () => JSON.stringify(await letterFigures()) === JSON.stringify(expected), { ...SHOWN, what });

  await until(async () => ((await letterFigures())[1] ?? 0) > 0, { ...SHOWN, what: 'letters' });
  await app.kill('SIGKILL');
  await app.restart();
  await shows([800, 800, 0, 0, ofQueue.length, 0], '800 letters, each counted once');
  assert.deepEqual(seen, [], 'never a false alarm');

  // 120 letters leave the log while nobody reads; more come behind them.
  await app.kill('SIGKILL');
  await publishLetters(space, letters(120));
  await shows([920, 800, 120, 0, ofQueue.length, 0], '120 letters to wait');
  const { deadLetters } = kafkaTopology(space.namespace);
  const kafka = new kafkajs.Kafka({ brokers: [...space.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(deadLetters.name);
  await admin.deleteTopicRecords({
    topic: deadLetters.name,
    partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
  });
  await admin.disconnect();
  await shows([920, 800, 0, 120, ofQueue.length, 0], 'all 120 to be missing, before anybody reads on');
  await publishLetters(space, letters(60));
  await app.restart();
  await shows([980, 860, 0, 120, ofQueue.length, 0], 'the same 120, and 60 more in the index');
  await app.kill('SIGKILL');
  await app.restart();
  await publishLetters(space, letters(10));
  await shows([990, 870, 0, 120, ofQueue.length, 0], 'no change by a restart');
});
