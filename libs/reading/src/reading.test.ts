import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeEnvelope,
  encodeEnvelope,
  envelopePrefix,
  interpret,
  murmur2,
  PayloadError,
  parsePayload,
  partitionOf,
  payloadBytes,
  readingsOf,
  splitLines,
  topicReader,
  type UtcOffset,
} from './index.ts';

const at = 1_763_700_000_000;
const source = { edge: 'edge-1/ab12', site: 'plant-1', device: 'dev-1', via: 'mqtt' } as const;

test('every accepted payload form gives its readings', () => {
  const of = (payload: unknown, metric?: string) => interpret(payload, { at, metric });
  assert.deepEqual(of({ ts: at, seq: 3, value: 21.4, unit: 'C' }, 'temperature').readings, [
    { metric: 'temperature', ts: at, stamped: true, seq: 3, value: 21.4, unit: 'C' },
  ]);
  assert.deepEqual(
    of({ ts: '2025-11-21T06:00:00.5+01:00', seq: 1, values: { a: 1, b: 2 } }).readings.map((r) => [
      r.metric,
      r.ts,
      r.value,
    ]),
    [
      ['a', Date.UTC(2025, 10, 21, 5, 0, 0, 500), 1],
      ['b', Date.UTC(2025, 10, 21, 5, 0, 0, 500), 2],
    ],
  );
  assert.deepEqual(of(21.5).readings, [
    { metric: 'value', ts: at, stamped: false, seq: undefined, value: 21.5, unit: undefined },
  ]);
  assert.equal(of([{ value: 1 }, { values: { x: 2, y: 3 } }, 4]).readings.length, 4);
  const event = {
    specversion: '1.0',
    id: '1',
    source: '/s',
    type: 't',
    time: '2025-11-21T05:00:00Z',
    data: { seq: 9, value: 5 },
  };
  assert.deepEqual(of(event).readings[0]?.ts, Date.UTC(2025, 10, 21, 5));
});

test('what is not a reading is refused with its reason, and its neighbours stay', () => {
  const cases: [unknown, string][] = [
    [{ value: '21' }, 'schema'],
    [{ value: true }, 'schema'],
    [{}, 'schema'],
    [[], 'schema'],
    [null, 'schema'],
    ['text', 'schema'],
    [[[1]], 'schema'],
    [{ value: Number.POSITIVE_INFINITY }, 'range'],
    [{ ts: 1_700_000_000, value: 1 }, 'range'],
    [{ ts: '2025-11-21T05:00:00', value: 1 }, 'schema'],
    [{ ts: '2025-02-31T05:00:00Z', value: 1 }, 'range'],
    [{ ts: {}, value: 1 }, 'schema'],
    [{ seq: 1.5, value: 1 }, 'range'],
    [{ seq: -1, value: 1 }, 'range'],
    [{ values: {} }, 'schema'],
    [{ values: [1] }, 'schema'],
    [{ values: { a: 1 }, value: 1 }, 'schema'],
    [JSON.parse('{"values":{"__proto__":1}}'), 'schema'],
    [{ values: { 'a.b': 1 } }, 'schema'],
    [{ values: { '\ud800': 1 } }, 'schema'],
    [{ value: 1, unit: '\udc00' }, 'range'],
    [{ specversion: '0.3', id: '1', source: 's', type: 't', data: 1 }, 'schema'],
    [{ specversion: '1.0', id: '', source: 's', type: 't', data: 1 }, 'schema'],
  ];
  for (const [payload, reason] of cases) {
    const { readings, refusals } = interpret(payload, { at });
    assert.equal(readings.length, 0, JSON.stringify(payload));
    assert.equal(refusals[0]?.reason, reason, JSON.stringify(payload));
  }
  const mixed = interpret([{ value: 1 }, { value: 'x' }, { value: 3 }, { values: { ok: 1, bad: null } }], {
    at,
  });
  assert.deepEqual(
    mixed.readings.map((r) => r.value),
    [1, 3],
  );
  assert.deepEqual(
    mixed.refusals.map((r) => r.index),
    [1, 3],
  );
});

test('property: an envelope keeps the payload byte for byte and gives the same readings', () => {
  const reading = fc.record(
    {
      ts: fc.integer({ min: at - 1e9, max: at }),
      seq: fc.nat(),
      value: fc.double({ noNaN: true, noDefaultInfinity: true }),
    },
    { requiredKeys: ['value'] },
  );
  const payload = fc.oneof(reading, fc.array(reading, { minLength: 1, maxLength: 4 }));
  fc.assert(
    fc.property(payload, fc.constantFrom(0, 2), fc.nat(), fc.boolean(), (value, indent, n, dup) => {
      const bytes = Buffer.from(JSON.stringify(value, null, indent));
      const line = encodeEnvelope(envelopePrefix(source), { n, at, qos: 1, mid: 7, dup }, bytes);
      const [text, ...rest] = splitLines(line);
      assert.ok(text !== undefined && rest.length === 0);
      assert.deepEqual(payloadBytes(text), bytes);
      const envelope = decodeEnvelope(text);
      assert.equal(envelope.n, n);
      assert.deepEqual(readingsOf(envelope), interpret(parsePayload(bytes), { at }).readings);
    }),
  );
});

test('property: no JSON value makes interpret throw', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const { readings, refusals } = interpret(value, { at });
      assert.ok(readings.length + refusals.length > 0);
      for (const r of readings) assert.ok(Number.isFinite(r.value) && Number.isSafeInteger(r.ts));
    }),
  );
});

test('refused elements stay refused downstream', () => {
  const line = encodeEnvelope(
    envelopePrefix(source),
    { n: 1, at, skip: [0] },
    Buffer.from('[{"value":1},{"value":2}]'),
  );
  assert.deepEqual(
    readingsOf(decodeEnvelope(line.toString())).map((r) => r.value),
    [2],
  );
});

test('bytes that are not JSON in UTF-8 are refused', () => {
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from([0xff, 0x31]),
    Buffer.from('{"a":'),
    Buffer.from('NaN'),
    Buffer.from('\u0000'),
  ]) {
    assert.throws(() => parsePayload(bytes), PayloadError);
  }
});

test('topics follow the templates', () => {
  const read = topicReader({
    telemetry: 'telemetry/v1/{site}/{device}',
    events: 'events/v1/{site}/{device}/{kind}',
    commands: 'cmd/v1/{site}/{device}/{name}',
  });
  assert.deepEqual(read('telemetry/v1/p/d/temp'), {
    kind: 'telemetry',
    site: 'p',
    device: 'd',
    metric: 'temp',
  });
  assert.deepEqual(read('events/v1/p/d/door'), { kind: 'event', site: 'p', device: 'd', event: 'door' });
  for (const bad of [
    'telemetry/v1/p',
    'telemetry/v1/a.b/d',
    'telemetry/v1//d',
    'x/y',
    `telemetry/v1/p/${'d'.repeat(200)}`,
    'telemetry/v1/p/d/__proto__',
  ]) {
    assert.equal(read(bad).kind, 'foreign', bad);
  }
});

test('murmur2 agrees with the vectors of the Java client', () => {
  // org.apache.kafka.common.utils.UtilsTest#testMurmur2
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ];
  for (const [text, hash] of vectors) assert.equal(murmur2(Buffer.from(text)), hash, text);
  assert.ok(partitionOf('dev-1', 12) >= 0 && partitionOf('dev-1', 12) < 12);
});

test('a stamp without a zone is refused, or read by the offset that its line states', () => {
  const local = '2026-01-01T00:00:00';
  const utc = Date.parse(`${local}Z`);
  const [refusal] = interpret({ ts: local, value: 1 }, { at: 0 }).refusals;
  assert.equal(refusal?.reason, 'schema');
  assert.match(refusal?.message ?? '', /has no zone.*edge\.timeZones/);
  const ts = (payload: unknown, utcOffset: UtcOffset) =>
    interpret(payload, { at: 0, utcOffset }).readings.map((reading) => reading.ts);
  assert.deepEqual(ts({ ts: local, value: 1 }, 60), [utc - 3_600_000]);
  assert.deepEqual(ts([{ ts: local, value: 1 }, 5, { ts: local, value: 1 }], [60, 0, -210]), [
    utc - 3_600_000,
    0,
    utc + 12_600_000,
  ]);
  // What names its zone, or is a number, is not touched.
  assert.deepEqual(
    ts(
      [
        { ts: `${local}Z`, value: 1 },
        { ts: utc, value: 1 },
      ],
      [60, 60],
    ),
    [utc, utc],
  );
  // A line of a stranger states nonsense.
  for (const nonsense of ['60', 1.5, 100_000, null, {}, ['x']])
    assert.equal(
      interpret({ ts: local, value: 1 }, { at: 0, utcOffset: nonsense as UtcOffset }).readings.length,
      0,
    );
});

test('property: the line says what the edge said when it asked for the zone, and keeps the stamp of its clock', () => {
  const element = fc.oneof(
    fc.record({ ts: fc.constantFrom('2026-03-29T03:30:00', '2026-01-01T00:00:00.5', '2026-07-01 12:00:00') }),
    fc.record({ ts: fc.integer({ min: 1_000_000_000_000, max: 2_000_000_000_000 }) }),
    fc.record({ ts: fc.constant('2026-01-01T00:00:00+05:00') }),
  );
  fc.assert(
    fc.property(
      fc.array(element, { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: -720, max: 840 })),
      (elements, pool) => {
        const payload = elements.map((one) => ({ ...one, value: 1 }));
        const offsets = payload.map((_, index) => pool[index] ?? 60);
        const asked = interpret(payload, { at: 5, utcOffset: (_local, index) => offsets[index] as number });
        const head = { n: 1, at: 5, hlc: '0000000000050001', utcOffset: offsets };
        const prefix = envelopePrefix({ edge: 'e/s', site: 's', device: 'd', via: 'mqtt' });
        const line = encodeEnvelope(prefix, head, Buffer.from(JSON.stringify(payload))).toString('utf8');
        const envelope = decodeEnvelope(line);
        assert.deepEqual(readingsOf(envelope), asked.readings);
        assert.equal(envelope.hlc, head.hlc);
      },
    ),
    { numRuns: 100 },
  );
});
