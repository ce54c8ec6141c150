import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD_LETTER_REASONS } from '@weir/flow';
import fc from 'fast-check';
import { type DeadLetter, deadLetterHeaders, parseDeadLetter, replayHeaders } from './dead-letter.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  envelopePrefix,
  forceLine,
  payloadBytes,
  readingsOf,
} from './envelope.ts';

const time = fc.integer({ min: 0, max: 4e12 });
const letters: fc.Arbitrary<DeadLetter> = fc
  .record({
    id: fc.stringMatching(/^[0-9a-f]{32}$/),
    reason: fc.constantFrom(...DEAD_LETTER_REASONS),
    stage: fc.string(),
    errorClass: fc.string(),
    errorMessage: fc.string({ unit: 'grapheme', maxLength: 60 }),
    firstFailedAt: time,
    lastFailedAt: time,
    originSystem: fc.constantFrom('mqtt', 'http', 'kafka', 'rabbitmq'),
    origin: fc.string(),
    originalTimestamp: time,
    retryable: fc.boolean(),
    replayCount: fc.nat(),
    readings: fc.option(fc.array(fc.nat(1_000), { minLength: 1 }), { nil: undefined }),
    kafka: fc.option(
      fc.record({
        topic: fc.string({ minLength: 1 }),
        partition: fc.nat(99),
        offset: fc.bigInt({ min: 0n, max: 2n ** 62n }).map(String),
        group: fc.string(),
      }),
      { nil: undefined },
    ),
  })
  .map(({ readings, kafka, ...rest }) => ({
    ...rest,
    ...(readings === undefined ? {} : { readings }),
    ...(kafka === undefined ? {} : { kafka: { ...kafka } }),
  }));

test('the headers of a dead letter are read as they were written', () => {
  fc.assert(
    fc.property(letters, (letter) => {
      const headers = deadLetterHeaders(letter);
      assert.deepEqual(parseDeadLetter(headers), letter);
      // The first version did not say which one it is.
      const { 'x-dlq-version': version, ...first } = headers;
      assert.deepEqual(parseDeadLetter(first), letter);
      assert.equal(parseDeadLetter({ ...headers, 'x-dlq-version': `${Number(version) + 1}` }), null);
    }),
  );
  assert.equal(parseDeadLetter({}), null);
  assert.equal(parseDeadLetter({ 'x-dlq-id': 'a', 'x-dlq-reason': 'unheard-of' }), null);
});

test('a replay says whose letter it is and how often it was sent', () => {
  fc.assert(
    fc.property(letters, (letter) => {
      assert.deepEqual(replayHeaders(letter, { task: 't-1', by: 'ann@host' }), {
        'x-dlq-id': letter.id,
        'x-dlq-replay-count': String(letter.replayCount + 1),
        'x-dlq-replay-task-id': 't-1',
        'x-dlq-replayed-by': 'ann@host',
      });
    }),
  );
});

const prefix = envelopePrefix({ edge: 'e/s', site: 'here', device: 'd', metric: undefined, via: 'mqtt' });
const forced = { offset: '41', readings: [0, 2], task: 'task-1' };
const payloads = fc.oneof(
  fc.json(),
  fc.constantFrom(
    `{"forced":${JSON.stringify(forced)},"ts":1700000000000,"value":1}`,
    `{"value":1,\n"forced":${JSON.stringify(forced)}}`,
    '"\\"},\\"forced\\":{}"',
    '{"payload":1,"forced":{"offset":"0"},"value":2}',
  ),
);

test('no payload can make its line a replay', () => {
  fc.assert(
    fc.property(payloads, fc.nat(), (payload, n) => {
      const line = encodeEnvelope(prefix, { n, at: 1_700_000_000_000 }, Buffer.from(payload));
      assert.equal(decodeEnvelope(line.toString('utf8')).forced, undefined);
    }),
  );
});

test('a forced line is its original with one key more', () => {
  fc.assert(
    fc.property(payloads, fc.nat(), (payload, n) => {
      const line = encodeEnvelope(prefix, { n, at: 1_700_000_000_000, mid: 3 }, Buffer.from(payload))
        .toString('utf8')
        .trimEnd();
      const replay = forceLine(line, forced);
      assert.deepEqual(decodeEnvelope(replay), { ...decodeEnvelope(line), forced });
      assert.deepEqual(readingsOf(decodeEnvelope(replay)), readingsOf(decodeEnvelope(line)));
      assert.equal(payloadBytes(replay).toString(), payloadBytes(line).toString());
      assert.throws(() => forceLine(replay, forced), /is a replay already/);
    }),
  );
  const strange = '{"payload":{"payload":1,"value":2},"v":1,"edge":"e","n":1,"site":"s","device":"d","at":5}';
  assert.deepEqual(decodeEnvelope(forceLine(strange, forced)), { ...JSON.parse(strange), forced });
});
