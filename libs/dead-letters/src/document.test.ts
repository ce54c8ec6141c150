import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEnvelope, encodeEnvelope, envelopePrefix, payloadBytes, readingsOf } from '@weir/reading';
import { documentOf } from './document.ts';
import { originReader } from './origin.ts';

const readOrigin = originReader({
  telemetry: 'telemetry/v1/{site}/{device}',
  events: 'events/v1/{site}/{device}/{kind}',
  commands: 'cmd/v1/{site}/{device}/{name}',
});
const letter = (more: Partial<Parameters<typeof documentOf>[0]> = {}): Parameters<typeof documentOf>[0] => ({
  originSystem: 'mqtt',
  origin: 'telemetry/v1/plant/pump-1/temperature',
  originalAt: new Date('2026-01-01T00:00:00Z'),
  readings: null,
  ...more,
});

test('a payload that the edge refused is checked as the edge would read it', () => {
  const document = documentOf(letter(), Buffer.from('{"value":"21"}'), readOrigin);
  assert.deepEqual(document.value, { value: '21' });
  assert.equal(document.write({ value: 21 }).toString(), '{"value":21}');
  assert.throws(() => document.write({ value: '21' }), /value must be a number, not a string/);
  // The topic names the metric, so the payload must not.
  assert.throws(() => document.write({ values: { temperature: 21 } }), /takes "value", not "values"/);
});

test('bytes that are no JSON are one text, which a patch can replace as a whole', () => {
  const document = documentOf(letter(), Buffer.from('{"value": 21'), readOrigin);
  assert.equal(document.value, '{"value": 21');
  assert.equal(document.write({ value: 21 }).toString(), '{"value":21}');
  assert.throws(() => documentOf(letter(), Buffer.from([0xff]), readOrigin), /not UTF-8/);
});

test('a line of the log keeps its head; its payload is the document', () => {
  const prefix = envelopePrefix({ edge: 'e/s', site: 'plant', device: 'pump-1', via: 'mqtt' });
  const head = { n: 7, at: 1_767_225_600_000, qos: 1 as const, mid: 3 };
  const line = encodeEnvelope(prefix, head, Buffer.from('[{"value":1},{"value":2}]'));
  const document = documentOf(letter({ originSystem: 'kafka', readings: [1] }), line, readOrigin);
  assert.deepEqual(document.value, [{ value: 1 }, { value: 2 }]);
  const edited = document.write([{ value: 1 }, { value: 5 }]);
  const { payload: _, ...rest } = decodeEnvelope(edited.toString());
  const { payload: __, ...before } = decodeEnvelope(line.toString());
  assert.deepEqual(rest, before);
  assert.equal(payloadBytes(edited.toString()).toString(), '[{"value":1},{"value":5}]');
  assert.deepEqual(
    readingsOf(decodeEnvelope(edited.toString())).map(({ value }) => value),
    [1, 5],
  );
  assert.throws(() => document.write([{ value: 1 }]), /1 readings instead of 2/);
});

test('a message of several lines is a list, each line a reading', () => {
  const body = Buffer.from(
    '{"device":"a","ts":1767225600000,"value":1}\n{"device":"b","ts":1767225600000,"value":2}\n',
  );
  const document = documentOf(letter({ originSystem: 'rabbitmq', origin: 'q' }), body, readOrigin);
  const lines = document.value as Record<string, unknown>[];
  assert.equal(document.write(lines).toString(), body.toString());
  assert.throws(() => document.write([{ ...lines[0], value: null }]), /line 1 has no finite value/);
  assert.throws(() => document.write([]), /not empty/);
});
