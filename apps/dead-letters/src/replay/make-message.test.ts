import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FullLetter } from '@weir/dead-letters';
import {
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  envelopePrefix,
  partitionOf,
  readingsOf,
} from '@weir/reading';
import { kafkaTopology } from '@weir/topology';
import fc from 'fast-check';
import { makeMessages, type Outgoing, Refused } from './make-message.ts';

const { readings } = kafkaTopology('test');
const AT = Date.UTC(2026, 0, 31, 12);
const TEMPLATES = {
  telemetry: 'telemetry/v1/{site}/{device}',
  events: 'events/v1/{site}/{device}/{kind}',
  commands: 'cmd/v1/{site}/{device}/{name}',
};
const make = makeMessages({ readings, templates: TEMPLATES, maxFutureMs: 900_000 });

function letterOf(parts: Partial<FullLetter>): FullLetter {
  const at = new Date(AT);
  return {
    id: '6f1c',
    seq: 1n,
    reason: 'schema',
    stage: 'test',
    site: 'plant',
    device: 'pump-7',
    fingerprint: '',
    errorClass: '',
    errorMessage: '',
    originSystem: 'mqtt',
    origin: 'telemetry/v1/plant/pump-7',
    foundIn: '',
    firstFailedAt: at,
    lastFailedAt: at,
    originalAt: at,
    arrivedAt: at,
    retryable: false,
    readings: null,
    replayCount: 1,
    returnedCount: 1,
    status: 'open',
    statusAt: null,
    statusBy: null,
    statusWhy: null,
    place: null,
    length: 0,
    sha256: '',
    content: 'json',
    bytesRemovedAt: null,
    key: null,
    headers: { 'x-dlq-id': '6f1c' },
    properties: {},
    ...parts,
  };
}

const send = (
  letter: FullLetter,
  current: Buffer | string,
  original: Buffer | string | null = null,
): Outgoing =>
  make(
    letter,
    { current: Buffer.from(current), original: original === null ? null : Buffer.from(original) },
    { task: 'a-task', by: 'anna', replayCount: letter.replayCount + 1 },
  );
const kafka = (outgoing: Outgoing) => {
  assert.equal(outgoing.system, 'kafka');
  return outgoing as Extract<Outgoing, { system: 'kafka' }>;
};
const envelopeOf = (outgoing: Outgoing): Envelope =>
  decodeEnvelope(kafka(outgoing).record.value.toString('utf8').trimEnd());
const lineOf = (payload: string, skip: readonly number[] = []): string => {
  const prefix = envelopePrefix({ edge: 'e/s', site: 'plant', device: 'pump-7', via: 'mqtt' });
  return encodeEnvelope(prefix, { n: 7, at: AT, skip }, Buffer.from(payload)).toString('utf8').trimEnd();
};
const inLog = (parts: Partial<FullLetter> = {}): FullLetter =>
  letterOf({
    originSystem: 'kafka',
    origin: readings.name,
    headers: {
      'x-dlq-id': '6f1c',
      '__dlq.errors.topic': readings.name,
      '__dlq.errors.partition': '3',
      '__dlq.errors.offset': '99',
    },
    ...parts,
  });

test('a refused payload becomes a line with its device, its arrival and an identity of its own', () => {
  const payload = '{"value": 21.50}';
  const outgoing = kafka(send(letterOf({}), payload));
  const { record } = outgoing;
  assert.equal(record.partition, partitionOf('pump-7', readings.partitions));
  assert.equal(record.key?.toString(), 'pump-7');
  assert.equal(record.headers?.['x-dlq-replay-count'], '2');
  assert.equal(record.headers?.['x-dlq-replayed-by'], 'anna');
  assert.equal(record.headers?.['x-dlq-replay-task-id'], 'a-task');
  assert.ok(record.value.includes(payload), 'byte for byte');
  const envelope = envelopeOf(outgoing);
  assert.deepEqual(envelope.forced, { task: 'a-task' });
  assert.deepEqual(
    readingsOf(envelope).map(({ metric, ts, value }) => [metric, ts, value]),
    [['value', AT, 21.5]],
  );
  const again = kafka(send(letterOf({}), payload));
  assert.deepEqual(again.identities, outgoing.identities, 'sent once more it is the same reading');
  const other = kafka(send(letterOf({ id: '6f1d' }), payload));
  assert.notDeepEqual(other.identities, outgoing.identities);
});

test('a metric of the topic, and a path of the HTTP door', () => {
  assert.equal(envelopeOf(send(letterOf({ origin: 'telemetry/v1/plant/pump-7/flow' }), '3')).metric, 'flow');
  const posted = letterOf({ originSystem: 'http', origin: '/ingest/v1/plant/pump%207/flow' });
  assert.throws(() => send(posted, '3'), Refused, 'no device has a space in its name');
  const path = letterOf({ originSystem: 'http', origin: '/ingest/v1/plant/pump-9' });
  const { via, device } = envelopeOf(send(path, '3'));
  assert.deepEqual([via, device], ['http', 'pump-9']);
});

test('what holds no reading is refused, with what to do', () => {
  const future = Date.now() + 3_600_000;
  for (const [payload, why] of [
    ['', /empty.*edit it/],
    ['{"value":', /not JSON.*edit it/],
    ['{"value":"x"}', /must be a number.*edit it/],
    ['[]', /the array is empty/],
    [`{"ts":${future},"value":1}`, /future.*edit/],
  ] as const)
    assert.throws(
      () => send(letterOf({}), payload),
      (error) => error instanceof Refused && why.test(error.message),
    );
  assert.throws(() => send(letterOf({ origin: 'events/v1/plant/pump-7/started' }), '{"value":1}'), Refused);
  assert.throws(() => send(letterOf({ origin: 'something/else' }), '{"value":1}'), Refused);
  assert.throws(() => send(inLog({ origin: 'orders' }), lineOf('1')), /its own program/);
  assert.throws(() => send(inLog({ headers: {} }), lineOf('1')), /another program/);
});

test('late readings go back to where they lay; edited ones stand for themselves', () => {
  const late = inLog({ reason: 'late', readings: [1] });
  const line = lineOf('[{"ts":1750000000000,"value":1},{"ts":1750000000000,"value":2}]');
  const outgoing = kafka(send(late, line));
  assert.equal(outgoing.record.partition, 3);
  assert.deepEqual(envelopeOf(outgoing).forced, { offset: '99', readings: [1], task: 'a-task' });
  assert.equal(outgoing.identities.length, 1);
  const edited = send(late, line.replace('"value":2', '"value":3'), line);
  assert.deepEqual(envelopeOf(edited).forced, { readings: [1], task: 'a-task' });
  assert.throws(() => send(late, lineOf('[1]'), line), /keep their number/);
  const all = { ...late, readings: [0, 1] };
  assert.deepEqual(envelopeOf(send(all, lineOf('5'), line)).forced, { task: 'a-task' });
});

test('of a line whose other elements were stored, only the repaired ones come back', () => {
  const element = fc.oneof(
    fc.integer({ min: 0, max: 99 }).map((value) => ({ before: { value }, after: { value } })),
    fc.integer({ min: 0, max: 99 }).map((value) => ({ before: { value: `${value}` }, after: { value } })),
  );
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 12 }), (elements) => {
      const broken = elements.flatMap(({ before }, i) => (typeof before.value === 'string' ? i : []));
      fc.pre(broken.length > 0);
      const original = lineOf(JSON.stringify(elements.map(({ before }) => before)));
      const edited = lineOf(JSON.stringify(elements.map(({ after }) => after)));
      const outgoing = send(inLog(), edited, original);
      assert.deepEqual(
        readingsOf(envelopeOf(outgoing)).map(({ value }) => value),
        broken.map((i) => elements[i]?.after.value),
      );
      assert.throws(() => send(inLog(), original), Refused, 'unrepaired it is refused');
    }),
    { numRuns: 100 },
  );
  const line = lineOf('[1,"x"]');
  assert.throws(() => send(inLog(), lineOf('[1]'), line), /keep their number/);
});

test('a replay that was buried can be replayed as another', () => {
  const [inner] = kafka(send(letterOf({}), '7'))
    .record.value.toString('utf8')
    .split('\n');
  const { forced, edge } = envelopeOf(send(inLog({ reason: 'decode' }), inner as string));
  assert.deepEqual([forced, edge], [{ task: 'a-task' }, 'dead-letter/6f1c']);
});

test('a message goes back to the queue of its consumer as it was, without what the broker wrote on its way', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      const body = Buffer.from(bytes);
      const outgoing = send(
        letterOf({
          originSystem: 'rabbitmq',
          origin: 'weir.alerter.telemetry',
          headers: {
            site: 'plant',
            count: 3,
            'x-death': [{ queue: 'weir.alerter.telemetry', count: 1 }],
            'x-first-death-queue': 'weir.alerter.telemetry',
            'x-delivery-count': 5,
            'x-dlq-replay-count': '1',
            '__dlq.errors.message': 'x',
            nested: { a: 1 },
          },
          properties: { contentType: 'application/x-ndjson' },
        }),
        body,
      );
      assert.equal(outgoing.system, 'rabbitmq');
      const { message } = outgoing as Extract<Outgoing, { system: 'rabbitmq' }>;
      assert.ok(message.body.equals(body));
      assert.deepEqual(message, {
        exchange: '',
        key: 'weir.alerter.telemetry',
        body: message.body,
        contentType: 'application/x-ndjson',
        messageId: '6f1c',
        headers: {
          site: 'plant',
          count: 3,
          'x-dlq-id': '6f1c',
          'x-dlq-replay-count': '2',
          'x-dlq-replay-task-id': 'a-task',
          'x-dlq-replayed-by': 'anna',
        },
      });
    }),
    { numRuns: 50 },
  );
});
