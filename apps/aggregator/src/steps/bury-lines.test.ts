import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafkaTopology } from '@weir/topology';
import { deadLetterOf } from './bury-lines.ts';

const { readings, deadLetters, groups } = kafkaTopology('t');
const config = { readings: readings.name, deadLetters, group: groups.aggregator };
const buried = {
  reason: 'late' as const,
  offset: 41n,
  index: 2,
  line: '{"v":1,"payload":"ü"}',
  message: 'too late',
  readings: [0, 3],
  device: 'd1',
  at: 1_700_000_000_000,
};

test('a dead letter has the bytes of its line and says where they lay', () => {
  const letter = deadLetterOf(config, 5, buried, 1_700_000_100_000);
  assert.equal(letter.value.toString(), buried.line);
  assert.equal(letter.key?.toString(), 'd1');
  assert.ok(letter.partition >= 0 && letter.partition < deadLetters.partitions);
  const { headers = {} } = letter;
  assert.equal(headers['x-dlq-readings'], '0,3');
  assert.equal(headers['x-dlq-retryable'], 'true');
  assert.deepEqual(
    ['topic', 'partition', 'offset', 'group'].map((name) => headers[`__dlq.errors.${name}`]),
    [readings.name, '5', '41', groups.aggregator],
  );
  assert.equal(headers['x-dlq-original-timestamp'], '2023-11-14T22:13:20.000Z');
});

test('the id follows from the place in the log, not from the moment', () => {
  const id = (partition: number, index: number, now: number): string | undefined =>
    deadLetterOf(config, partition, { ...buried, index }, now).headers?.['x-dlq-id'];
  assert.equal(id(5, 2, 1), id(5, 2, 2));
  assert.notEqual(id(5, 2, 1), id(5, 3, 1));
  assert.notEqual(id(5, 2, 1), id(6, 2, 1));
});
