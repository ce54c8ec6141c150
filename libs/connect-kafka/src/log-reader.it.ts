import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTransient, WeirError } from '@weir/flow';
import { atEnd, isolated } from '@weir/testkit';
import { pino } from 'pino';
import { openAdmin, openLogReader, openProducer } from './index.ts';

const log = pino({ level: 'silent' });

test('a topic is read at any offset and time without a group', async (t) => {
  const space = await isolated(t, { kafka: true });
  const options = { brokers: space.brokers, clientId: 'log-reader', log };
  const topic = `${space.namespace}.log`;
  const admin = openAdmin(options);
  atEnd(t, () => admin.close());
  await admin.applyTopics([{ name: topic, partitions: 2, config: {} }]);
  const producer = openProducer(options);
  atEnd(t, () => producer.close());
  const began = Date.now() - 100_000;
  for (let i = 0; i < 20; i++) {
    const records = [0, 1, 2].map((k) => ({
      partition: 1,
      key: null,
      value: Buffer.from(`value ${3 * i + k}`),
      headers: { at: String(i) },
      timestamp: began + i * 1_000,
    }));
    await producer.send(topic, records);
  }
  const reader = openLogReader(options, topic);
  atEnd(t, () => reader.close());
  assert.deepEqual(await reader.ends(), [
    { partition: 0, start: 0n, end: 0n },
    { partition: 1, start: 0n, end: 60n },
  ]);
  assert.equal(await reader.offsetAt(1, began + 5_000), 15n);
  assert.equal(await reader.offsetAt(1, began + 5_001), 18n);
  assert.equal(await reader.offsetAt(1, began - 1), 0n);
  assert.equal(await reader.offsetAt(1, began + 60_000), 60n);
  assert.equal(await reader.offsetAt(0, began), 0n);

  // From the middle of a stored batch; batches as they come until the end.
  const values: string[] = [];
  for (let from = 16n; from < 60n; ) {
    const records = await reader.read(1, from, 1);
    assert.equal(records[0]?.offset, from);
    for (const { value } of records) values.push(value.toString());
    from = (records.at(-1)?.offset ?? 60n) + 1n;
  }
  assert.deepEqual(
    values,
    Array.from({ length: 44 }, (_, i) => `value ${i + 16}`),
  );
  const [first] = await reader.read(1, 0n);
  assert.deepEqual([first?.timestamp, first?.headers], [began, { at: '0' }]);
  assert.deepEqual(await reader.read(1, 60n), []);
  await assert.rejects(reader.read(1, 61n), /partition 1 does not hold offset 61/);
  await assert.rejects(reader.read(7, 0n), /no partition 7|partition/);
  assert.equal((await reader.read(1, 59n)).length, 1, 'goes on after an error');
  assert.equal(await admin.groupSize('weir.none'), 0);
  await reader.close();
  await reader.close();
  await assert.rejects(reader.ends(), /is closed/);
});

test('a broker that is away is a transient error', async () => {
  const reader = openLogReader({ brokers: ['127.0.0.1:1'], clientId: 't', log }, 'none');
  await assert.rejects(reader.ends(), (error: unknown) => error instanceof WeirError && isTransient(error));
  await reader.close();
});
