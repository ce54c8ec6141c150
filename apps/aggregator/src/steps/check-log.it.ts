import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmin } from '@weir/connect-kafka';
import { atEnd, isolated, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';
import { log } from '../testing.ts';
import { checkLog } from './check-log.ts';

const HOUR = 3_600_000;

test('a log that the broker keeps for too short is told with both values, whoever has set it', async (t) => {
  const { brokers, namespace } = await isolated(t, { kafka: true });
  const kafka = { brokers, clientId: 'test', log };
  const admin = openAdmin(kafka);
  atEnd(t, () => admin.close());
  const { readings } = kafkaTopology(namespace, { log: 2 * HOUR, deadLetters: HOUR });
  const check = (neededMs: number) => checkLog(kafka, readings.name, neededMs, t.signal);
  // It waits for a topic that is not made yet.
  const early = check(2 * HOUR);
  await admin.applyTopics([readings]);
  assert.equal(await early, null);
  assert.match((await check(3 * HOUR)) ?? '', /for 7200 s, and 10800 s are needed .*retention\.log/);
  await admin.applyTopics([{ ...readings, config: { ...readings.config, 'retention.bytes': '1000000' } }]);
  await until(async () => /at most 1000000 bytes/.test((await check(HOUR)) ?? ''), {
    deadlineMs: 20_000,
    what: 'the limit in bytes to be told',
  });
});
