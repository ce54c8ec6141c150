import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeEnvelope,
  encodeEnvelope,
  envelopePrefix,
  interpret,
  isName,
  LIMITS,
  type LineHead,
  LineScanner,
  PayloadScanner,
  parsePayload,
  type Reading,
  readingsOf,
} from './index.ts';

const AT = 1_763_700_000_000;
const scannerOf = (): LineScanner =>
  new LineScanner({
    site: (name) => (isName(name, LIMITS.siteBytes) ? name : undefined),
    metric: (name) => (isName(name, LIMITS.metricBytes) ? name : undefined),
    device: (_site, bytes, from, to) => bytes.toString('latin1', from, to),
  });
const scanner = scannerOf();

interface Scanned {
  readonly head: LineHead;
  readonly readings: readonly Reading[];
}

function headOf({ edge, n, site, device, at, metric, mid, dup }: LineHead): LineHead {
  return { edge, n, site, device, at, metric, mid, dup, forced: undefined };
}

/** What the scanner says of a line between two others; null: it leaves the line to the parser. */
function scan(text: string): Scanned | null {
  const before = Buffer.from(`before\n`);
  const bytes = Buffer.concat([before, Buffer.from(`${text}\nbehind\n`)]);
  const end = scanner.scan(bytes, before.length);
  if (end < 0) return null;
  assert.equal(end, before.length + Buffer.byteLength(text));
  return { head: headOf(scanner.head), readings: scanner.readings.map((one) => ({ ...one })) };
}

/** What the parser says; throws as it does. `JSON.stringify` forgets the sign of zero, `deepEqual` does not. */
function parse(text: string): Scanned {
  const envelope = decodeEnvelope(text);
  return { head: headOf(envelope), readings: readingsOf(envelope) };
}

function lineOf(payload: string, head: object = {}, metric?: string): string {
  const prefix = envelopePrefix({ edge: 'edge-1/ab', site: 'plant-1', device: 'dev-1', metric, via: 'mqtt' });
  return encodeEnvelope(prefix, { n: 7, at: AT, ...head }, Buffer.from(payload))
    .toString()
    .trimEnd();
}

function assertTaken(text: string): void {
  assert.notEqual(scan(text), null, `left: ${text}`);
  assert.deepEqual(scan(text), parse(text), text);
}

test('the payloads that nearly all devices send are scanned', () => {
  for (const payload of [
    '21.5',
    '-0',
    '{"ts":1763700000000,"seq":3,"value":21.4,"unit":"C"}',
    '{ "value": 21.4, "ts": 1763700000000 }',
    '{"ts":1763700000000,"seq":0,"values":{"temperature":21.4,"humidity":40}}',
    '{"values": {"a": 1e-3, "b": -2.5E+2}, "seq": 9}',
    '[{"value":1},{"seq":5,"value":2},3]',
    '{"value":1,"battery":{"volts":3.9,"ok":true,"notes":["a",null,{}],"wörter":"ü"},"tags":[]}',
  ])
    assertTaken(
      lineOf(payload, { k: 12, hlc: '0000019aabcd-0001-e1', qos: 1, mid: 65_535, dup: true, critical: true }),
    );
  assertTaken(lineOf('{"value":1}', { qos: 0 }, 'temperature'));
});

test('what is unusual is left to the parser', () => {
  for (const payload of [
    '{"ts":"2025-11-21T05:00:00Z","value":1}',
    '{"ts":null,"value":1}',
    '{"ts":1763700000000.5,"value":1}',
    '{"ts":1763700000,"value":1}',
    '{"ts" : 1763700000000,"ts":1763700000001,"value":1}',
    '{"value":1,"value":2}',
    '{"value":1e999}',
    '{"value":01}',
    '{"value":1.}',
    '{"value":.5}',
    '{"value":1e}',
    '{"value":"1"}',
    '{"value":1,}',
    '{"val\\u0075e":1}',
    '{"value":1,"unit":"\\u00b0C"}',
    '{"value":1,"values":{"a":1}}',
    '{"values":{}}',
    '{"values":{"b":1,"1":2}}',
    '{"values":{"a":1,"a":2}}',
    '{"values":{"__proto__":1}}',
    '{"values":{"a.b":1}}',
    '{"specversion":"1.0","id":"1","source":"s","type":"t","data":1}',
    '{}',
    '[]',
    '[{"value":1},{"value":"x"}]',
    '{"value":1,"extra":nul}',
    '{"value":1,"extra":{"a":01}}',
    '',
  ])
    assert.equal(scan(lineOf(payload)), null, payload);
  for (const text of [
    'text',
    lineOf('1').slice(0, -1),
    `${lineOf('1')} `,
    lineOf('1').replace('"v":1', '"v":2'),
    lineOf('1', { skip: [0] }),
    lineOf('1', { utcOffset: 60 }),
    lineOf('[\n1]'),
    lineOf('1').replace('dev-1', 'dev\\u002d1'),
    lineOf('{"values":{"a":1}}', {}, 'b'),
  ])
    assert.equal(scan(text), null, text);
});

const digits = (from: number, to: number) =>
  fc.array(fc.constantFrom(...'0123456789'), { minLength: from, maxLength: to }).map((all) => all.join(''));
const goodNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.double({ min: -1e4, max: 1e4, noNaN: true }).map((value) => value.toFixed(3)),
);
const numberText = fc.oneof(
  goodNumber,
  fc
    .tuple(
      fc.constantFrom('', '-', '+'),
      digits(0, 18),
      fc.constantFrom('', '.'),
      digits(0, 18),
      fc.constantFrom('', '', 'e', 'E+', 'e-'),
      digits(0, 3),
    )
    .map((parts) => parts.join('')),
);

test('property: numbers are those of JSON.parse, bit for bit', () => {
  fc.assert(
    fc.property(numberText, (text) => {
      let plain: number | null = null;
      try {
        plain = JSON.parse(text) as number;
      } catch {
        // not a number of JSON
      }
      const value = scan(lineOf(text))?.readings[0]?.value;
      if (value === undefined) assert.ok(plain === null || !Number.isFinite(plain), text);
      else assert.ok(Object.is(value, plain), text);
    }),
    { numRuns: 2_000 },
  );
});

const blank = fc.constantFrom('', '', '', ' ', '  ');
const value = fc.oneof(
  { weight: 6, arbitrary: numberText },
  fc.constantFrom(
    '1763700000000',
    '5',
    'null',
    'true',
    '"x"',
    '"C"',
    '[]',
    '{}',
    '{"a":1}',
    '"\\u0041"',
    '"ü"',
  ),
  fc.jsonValue().map((one) => JSON.stringify(one)),
);
const key = fc.constantFrom('ts', 'seq', 'value', 'unit', 'values', 'other', 'specversion', 'v\\u0061lue');
const metric = fc.constantFrom('a', 'b', 'c', '7', 'a.b', '__proto__', 'ä', 'long name');
const joined = (open: string, members: fc.Arbitrary<string>, close: string) =>
  fc
    .tuple(fc.array(members, { maxLength: 5 }), blank)
    .map(([all, gap]) => `${open}${gap}${all.join(`${gap},${gap}`)}${gap}${close}`);
const member = (name: fc.Arbitrary<string>, of: fc.Arbitrary<string>) =>
  fc.tuple(name, blank, of).map(([left, gap, right]) => `"${left}"${gap}:${gap}${right}`);
const values = joined('{', member(metric, value), '}');
const usual = fc
  .tuple(
    fc.constantFrom('', '"ts":1763700000000', '"ts": 1763700000123'),
    fc.constantFrom('', '"seq":0', '"seq":12'),
    fc.oneof(
      goodNumber.map((text) => `"value":${text}`),
      goodNumber.map((text) => `"values": {"a": ${text}, "b": 2}`),
      joined('"values":{', member(fc.constantFrom('a', 'b', 'c'), numberText), '}'),
    ),
    fc.constantFrom('', '"unit":"C"', '"extra":{"a":[1,2]}'),
  )
  .map((parts) => parts.filter((part) => part !== ''))
  .chain((parts) => fc.shuffledSubarray(parts, { minLength: parts.length }))
  .map((parts) => `{${parts.join(',')}}`);
const element = fc.oneof(
  usual,
  usual,
  usual,
  goodNumber,
  numberText,
  joined('{', member(key, fc.oneof(value, values)), '}'),
);
const payloads = fc.oneof(usual, element, joined('[', usual, ']'), joined('[', element, ']'), fc.json());
const heads = fc.record(
  {
    n: fc.oneof(fc.nat(), fc.nat(), fc.nat(), fc.maxSafeNat()),
    k: fc.nat(),
    at: fc.constantFrom(0, AT, AT, AT, AT, AT, 999_999_999_999_999, 1_000_000_000_000_000),
    qos: fc.constantFrom(0, 1, 2),
    mid: fc.nat(65_535),
    dup: fc.boolean(),
    hlc: fc.constant('0000019aabcd-0001-e1'),
    skip: fc.constantFrom([], [], [], [0]),
    critical: fc.boolean(),
  },
  { requiredKeys: [] },
);

test('property: a line that is scanned means what the parser says, also when bytes of it are others', () => {
  let taken = 0;
  let runs = 0;
  const fault = fc.option(fc.tuple(fc.nat(400), fc.constantFrom(...'{}[]",:0e. \\x'), fc.boolean()), {
    freq: 2,
  });
  fc.assert(
    fc.property(
      payloads,
      heads,
      fc.constantFrom(undefined, undefined, undefined, undefined, 'a', 'ä'),
      fault,
      (payload, head, name, change) => {
        let text = lineOf(payload, head, name);
        if (change !== null) {
          const [place, byte, insert] = change;
          const at = place % text.length;
          text = text.slice(0, at) + byte + text.slice(insert ? at : at + 1);
        }
        runs++;
        const scanned = scan(text);
        if (scanned === null) return;
        taken++;
        assert.deepEqual(scanned, parse(text));
      },
    ),
    { numRuns: 3_000 },
  );
  assert.ok(taken > runs / 20, `${taken} of ${runs} lines were scanned`);
});

test('property: a payload that is scanned means what the parser says, wherever it stands', () => {
  const payloadScanner = new PayloadScanner();
  const bytesAround = fc.uint8Array({ maxLength: 8 });
  const fault = fc.option(fc.tuple(fc.nat(400), fc.nat(255)), { freq: 2 });
  let taken = 0;
  let runs = 0;
  const check = (payload: Buffer, name: string | undefined, before: Uint8Array, behind: Uint8Array): void => {
    runs++;
    const bytes = Buffer.concat([before, payload, behind]);
    const count = payloadScanner.scan(bytes, before.length, before.length + payload.length, name, AT);
    if (count === 0) return;
    taken++;
    assert.ok(!payload.includes(10) && !payload.includes(13), 'it could not stand in a line');
    const { readings, refusals } = interpret(parsePayload(payload), { metric: name, at: AT });
    assert.deepEqual(
      payloadScanner.readings.map((one) => ({ ...one })),
      readings,
    );
    assert.deepEqual(refusals, []);
    assert.equal(count, readings.length);
    const stamps = readings.filter(({ stamped }) => stamped).map(({ ts }) => ts);
    assert.equal(payloadScanner.latestTs, Math.max(-1, ...stamps));
  };
  fc.assert(
    fc.property(
      payloads,
      fc.constantFrom(undefined, undefined, 'a', 'ä'),
      fault,
      bytesAround,
      bytesAround,
      (text, name, change, before, behind) => {
        const payload = Buffer.from(text);
        if (change !== null && payload.length > 0) payload[change[0] % payload.length] = change[1];
        check(payload, name, before, behind);
      },
    ),
    { numRuns: 3_000 },
  );
  assert.ok(taken > runs / 20, `${taken} of ${runs} payloads were scanned`);
  check(Buffer.from('{"value":1,"note":"wörter"}'), undefined, Buffer.alloc(0), Buffer.alloc(0));
  const inLatin1 = Buffer.from('{"value":1,"note":"w\u00f6rter"}', 'latin1');
  assert.equal(payloadScanner.scan(inLatin1, 0, inLatin1.length, undefined, AT), 0);
});

test("property: names of many sites, devices and metrics never take each other's place", () => {
  const name = fc.integer({ min: 0, max: 3_000 }).map((i) => `name-${i}`);
  const own = scannerOf();
  fc.assert(
    fc.property(fc.array(fc.tuple(name, name, name, name), { minLength: 1, maxLength: 200 }), (all) => {
      for (const [edge, site, device, metricName] of all) {
        const prefix = envelopePrefix({ edge, site, device, metric: metricName, via: 'http' });
        const line = encodeEnvelope(prefix, { n: 1, at: AT }, Buffer.from(`{"value":1,"unit":"${edge}"}`));
        assert.equal(own.scan(line, 0), line.length - 1);
        const [reading] = own.readings;
        assert.deepEqual(
          [own.head.edge, own.head.site, own.head.device, own.head.metric, reading?.metric, reading?.unit],
          [edge, site, device, metricName, metricName, edge],
        );
      }
    }),
    { numRuns: 100 },
  );
});
