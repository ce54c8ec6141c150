import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '@weir/connect-rabbitmq';
import { decodeTelemetry, telemetrySource } from './decode-telemetry.ts';

const delivery = (body: string | Buffer, headers: Record<string, unknown> = {}): Delivery => ({
  queue: 'q',
  exchange: 'weir.telemetry',
  key: 'telemetry.normal.plant.temperature',
  body: Buffer.from(body as string),
  headers: { site: 'plant', metric: 'temperature', ...headers },
  contentType: 'application/x-ndjson',
  messageId: undefined,
  redelivered: false,
  session: 1,
  deliveryCount: 0,
});
const decode = (body: string | Buffer) => {
  const message = delivery(body);
  return decodeTelemetry(message, telemetrySource(message));
};

test('one reading a line, other fields are let through', () => {
  const { site, metric, readings, error } = decode(
    '{"device":"a","ts":1,"value":2.5,"unit":"C","at":3}\n{"device":"b","ts":2,"seq":9,"value":-1}\n',
  );
  assert.deepEqual([site, metric], ['plant', 'temperature']);
  assert.deepEqual(readings, [
    { device: 'a', ts: 1, value: 2.5, at: 3 },
    { device: 'b', ts: 2, value: -1, at: null },
  ]);
  assert.equal(error, undefined);
});

for (const [what, line, why] of [
  ['truncated JSON', '{"device":"a"', /line 2 is not JSON/],
  ['not an object', '17', /line 2 is not an object/],
  ['null', 'null', /line 2 is not an object/],
  ['no device', '{"ts":1,"value":1}', /names no device/],
  ['a device that is no name', '{"device":"a\\u0000","ts":1,"value":1}', /names no device/],
  ['a time as text', '{"device":"a","ts":"1","value":1}', /has no ts/],
  ['a value that overflows', '{"device":"a","ts":1,"value":1e400}', /has no finite value/],
  ['a value as text', '{"device":"a","ts":1,"value":"1"}', /has no finite value/],
] as const) {
  test(`a bad line (${what}) is named and the good ones around it count`, () => {
    const good = '{"device":"a","ts":1,"value":1}';
    const { readings, error } = decode(`${good}\n${line}\n${good}\n`);
    assert.equal(readings.length, 2);
    assert.equal(error?.retry, 'data');
    assert.match(error?.message ?? '', why);
  });
}

test('an empty body and bytes that are not UTF-8 are errors', () => {
  assert.match(decode('').error?.message ?? '', /empty/);
  assert.match(decode(Buffer.from([0x7b, 0xff, 0x7d])).error?.message ?? '', /UTF-8/);
});

test('a message without a proper site or metric is an error', () => {
  for (const headers of [{ site: undefined }, { metric: 5 }, { site: 'a.b' }, { metric: '__proto__' }]) {
    assert.throws(() => telemetrySource(delivery('', headers)), { retry: 'data' });
  }
});
