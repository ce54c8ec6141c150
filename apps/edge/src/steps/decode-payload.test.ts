import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodePayload } from './decode-payload.ts';
import { splitElements } from './split-elements.ts';

const AT = Date.UTC(2026, 0, 1);
const decode = decodePayload({ maxFutureMs: 60_000, maxReadings: 10 });
const run = (payload: string, metric?: string) =>
  decode(Buffer.from(payload), metric, AT, { classes: [{ metric: 'smoke', class: 'critical' }] });

test('good payloads: how many readings, and whether they are critical', () => {
  assert.deepEqual(run('21.4'), { count: 1, critical: false, utcOffset: undefined, refused: [] });
  assert.deepEqual(run('{"values":{"smoke":1,"gas":2}}'), {
    count: 2,
    critical: true,
    utcOffset: undefined,
    refused: [],
  });
  assert.equal(run('1', 'smoke').critical, true);
  assert.equal(run('[1,{"values":{"a":1,"b":2}}]').count, 3);
});

test('a device time is bearable up to the bound and no further', () => {
  assert.equal(run(`{"value":1,"ts":${AT + 60_000}}`).count, 1);
  const early = run(`{"value":1,"ts":${AT + 60_001}}`);
  assert.deepEqual(
    [early.count, early.refused[0]?.reason, early.refused[0]?.index],
    [0, 'clock-skew', undefined],
  );
});

test('an array without any reading is refused as a whole, with its own bytes', () => {
  const payload = '["a" , "b"]';
  const { count, refused } = run(payload);
  assert.equal(count, 0);
  assert.deepEqual(
    refused.map(({ bytes, index }) => [bytes.toString(), index]),
    [[payload, undefined]],
  );
});

test('too many readings are refused as a whole', () => {
  assert.equal(run(JSON.stringify(Array(10).fill(1))).count, 10);
  assert.equal(run(JSON.stringify(Array(11).fill(1))).refused[0]?.reason, 'range');
  const values = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`m${i}`, 1]));
  assert.equal(run(JSON.stringify({ values })).refused[0]?.reason, 'range');
});

test('property: the elements of an array are split into their own bytes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue(), { minLength: 1 }),
      fc.constantFrom('', ' ', '\n\t'),
      (values, space) => {
        const texts = values.map((value) => JSON.stringify(value));
        const json = `${space}[${texts.map((text) => `${space}${text}${space}`).join(',')}]${space}`;
        assert.deepEqual(
          splitElements(Buffer.from(json)).map((bytes) => bytes.toString()),
          texts,
        );
      },
    ),
  );
});

test('property: never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array().map(Buffer.from), fc.json().map(Buffer.from)), (payload) => {
      const { count, refused } = decode(payload as Buffer, undefined, AT);
      assert.ok(count > 0 || refused.length === 1);
    }),
  );
});
