import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeadLetter, deadLetterHeaders } from '@weir/reading';
import fc from 'fast-check';
import { type Arrival, likeness, readArrival } from './arrival.ts';
import { originReader } from './origin.ts';

const NOW = Date.UTC(2026, 0, 2);
const readOrigin = originReader({
  telemetry: 'telemetry/v1/{site}/{device}',
  events: 'events/v1/{site}/{device}/{kind}',
  commands: 'cmd/v1/{site}/{device}/{name}',
});
const arrival = (more: Partial<Arrival> = {}): Arrival => ({
  found: { in: 'kafka', topic: 'weir.dead-letters.v1', partition: 1, offset: 42n, timestamp: NOW - 5_000 },
  key: null,
  headers: {},
  properties: {},
  bytes: Buffer.from('{"value":1}'),
  ...more,
});
const read = (more: Partial<Arrival> = {}) => readArrival(arrival(more), readOrigin, NOW);

const ours: DeadLetter = {
  id: 'l1',
  reason: 'schema',
  stage: 'decode-payload',
  errorClass: 'data',
  errorMessage: 'value must be a number',
  firstFailedAt: NOW - 9_000,
  lastFailedAt: NOW - 8_000,
  originSystem: 'mqtt',
  origin: 'telemetry/v1/plant/pump-1/temperature',
  originalTimestamp: NOW - 10_000,
  retryable: false,
  replayCount: 2,
  readings: [0, 3],
};

test('our own headers say all there is to say', () => {
  const letter = read({ headers: deadLetterHeaders(ours) });
  assert.deepEqual(
    [letter.id, letter.reason, letter.stage, letter.errorClass, letter.errorMessage, letter.replayCount],
    ['l1', 'schema', 'decode-payload', 'data', 'value must be a number', 2],
  );
  assert.deepEqual([letter.site, letter.device, letter.readings], ['plant', 'pump-1', [0, 3]]);
  assert.deepEqual(
    [letter.firstFailedAt, letter.lastFailedAt, letter.originalAt].map((at) => at.getTime()),
    [NOW - 9_000, NOW - 8_000, NOW - 10_000],
  );
});

test('a record without headers is a letter named by its place', () => {
  const letter = read();
  assert.equal(letter.id, read().id);
  assert.notEqual(letter.id, read({ found: { ...arrival().found, offset: 43n } as Arrival['found'] }).id);
  assert.deepEqual(
    [letter.reason, letter.origin, letter.content],
    ['rejected', 'weir.dead-letters.v1', 'json'],
  );
  assert.equal(letter.lastFailedAt.getTime(), NOW - 5_000);
});

test('what RabbitMQ, Connect, Streams, Spring and share groups say is read', () => {
  const queue = { in: 'rabbitmq', queue: 'weir.alerter.telemetry.dlq' } as const;
  const death = (reason: string) => ({
    'x-death': [
      {
        queue: 'weir.alerter.telemetry',
        reason,
        count: 3,
        exchange: 'weir.telemetry',
        'routing-keys': ['telemetry.normal.plant-9.value'],
        time: { '!': 'timestamp', value: (NOW - 60_000) / 1_000 },
      },
    ],
  });
  const limit = read({ found: queue, headers: death('delivery_limit'), bytes: Buffer.from('x') });
  assert.deepEqual(
    [limit.id, limit.reason, limit.origin, limit.site, limit.originSystem, limit.lastFailedAt.getTime()],
    [null, 'delivery-limit', 'weir.alerter.telemetry', 'plant-9', 'rabbitmq', NOW - 60_000],
  );
  for (const reason of ['expired', 'maxlen', 'rejected'] as const)
    assert.equal(read({ found: queue, headers: death(reason) }).reason, reason);

  const connect = read({
    headers: {
      '__connect.errors.topic': 'orders',
      '__connect.errors.stage': 'TASK_PUT',
      '__connect.errors.exception.class.name': 'SinkException',
      '__connect.errors.exception.message': 'no such column',
    },
  });
  assert.deepEqual(
    [connect.reason, connect.stage, connect.errorClass, connect.errorMessage, connect.origin],
    ['sink-data', 'TASK_PUT', 'SinkException', 'no such column', 'orders'],
  );
  const streams = read({
    headers: {
      '__streams.errors.exception': 'org.apache.kafka.common.errors.SerializationException',
      '__streams.errors.message': 'bad',
      '__streams.errors.topic': 'clicks',
    },
  });
  assert.deepEqual([streams.reason, streams.errorMessage, streams.origin], ['decode', 'bad', 'clicks']);
  const share = read({
    headers: { '__dlq.errors.topic': 'jobs', '__dlq.errors.group': 'g', '__dlq.errors.delivery.count': '5' },
  });
  assert.deepEqual([share.reason, share.stage, share.origin], ['delivery-limit', 'g', 'jobs']);

  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: BigInt(NOW) }), (ms) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64BE(ms);
      // As connect-kafka reads headers.
      const utf8 = bytes.toString('utf8');
      const text = Buffer.from(utf8).equals(bytes) ? utf8 : bytes.toString('latin1');
      const spring = read({
        headers: {
          'kafka_dlt-original-topic': 't',
          'kafka_dlt-original-timestamp': text,
          'kafka_dlt-exception-fqcn': 'E',
        },
      });
      return spring.originalAt.getTime() === Number(ms) && spring.reason === 'poison';
    }),
    { numRuns: 100 },
  );
});

test('whatever came is a letter that PostgreSQL can hold', () => {
  const value: fc.Arbitrary<unknown> = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.bigInt(),
    fc.anything(),
  );
  const names = fc.constantFrom(
    'x-dlq-id',
    'x-dlq-reason',
    'x-dlq-readings',
    'x-dlq-first-failed-at',
    'x-dlq-replay-count',
    'x-death',
    'x-dlq-origin',
    'x-dlq-origin-system',
    'x-dlq-error-message',
    'site',
    'kafka_dlt-original-timestamp',
    '__connect.errors.stage',
    'any',
  );
  fc.assert(
    fc.property(
      fc.dictionary(names, value),
      fc.uint8Array({ maxLength: 64 }),
      fc.option(fc.uint8Array({ maxLength: 8 })),
      fc.boolean(),
      (headers, bytes, key, isQueue) => {
        const letter = read({
          headers,
          bytes: Buffer.from(bytes),
          key: key === null ? null : Buffer.from(key),
          ...(isQueue ? { found: { in: 'rabbitmq', queue: 'a.dlq' } as const } : {}),
        });
        const text = JSON.stringify(letter.headers);
        assert.ok(!text.includes('\\u0000'), text);
        for (const field of [letter.stage, letter.origin, letter.errorMessage, letter.site, letter.device])
          assert.ok(!field.includes('\0') && field.isWellFormed());
        for (const at of [letter.firstFailedAt, letter.lastFailedAt, letter.originalAt])
          assert.ok(at.getTime() >= 0 && at.getUTCFullYear() < 10_000);
        assert.equal(letter.length, bytes.length);
      },
    ),
    { numRuns: 80 },
  );
});

test('two deliveries of one message are alike, whatever RabbitMQ counted in between', () => {
  const found = { in: 'rabbitmq', queue: 'a.dlq' } as const;
  const once = likeness(arrival({ found, headers: { a: 1 } }));
  assert.equal(
    likeness(arrival({ found, headers: { a: 1, 'x-delivery-count': 3, 'x-acquired-count': 1 } })),
    once,
  );
  assert.notEqual(likeness(arrival({ found, headers: { a: 2 } })), once);
  assert.notEqual(likeness(arrival({ found, headers: { a: 1 }, bytes: Buffer.from('{"value":2}') })), once);
  assert.notEqual(likeness(arrival({ found, headers: { a: 1 }, properties: { messageId: 'm' } })), once);
});
