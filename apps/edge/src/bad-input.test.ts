/** What is wrong with the input, what the answer is, and what is kept of it. Good traffic goes on beside each. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { atEnd, type Scope, until } from '@weir/testkit';
import mqtt, { type Packet } from 'mqtt-packet';
import { encodeConnect, RawClient } from './testing/raw-client.ts';
import { openRig, type Rig, SECRET } from './testing/rig.ts';

const TOPIC = 'telemetry/v1/plant/bad';
const bytes = (...parts: (string | number[] | Buffer)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part as number[]))),
  );
const deep = (levels: number): string => `${'['.repeat(levels)}1${']'.repeat(levels)}`;
const inOneHour = (): number => Date.now() + 3_600_000;
const seconds = Math.floor(Date.now() / 1_000);

interface BadPayload {
  readonly what: string;
  readonly payload: string | Buffer;
  readonly reason: string;
  readonly topic?: string;
}

/** Acknowledged once the original bytes are durable as a dead letter. */
const PAYLOADS: readonly BadPayload[] = [
  { what: 'empty payload', payload: '', reason: 'decode' },
  { what: 'truncated JSON', payload: '{"value":21.', reason: 'decode' },
  { what: 'text that is no JSON', payload: 'hello', reason: 'decode' },
  { what: 'two JSON values', payload: '{"value":1}{"value":2}', reason: 'decode' },
  { what: 'NaN', payload: '{"value":NaN}', reason: 'decode' },
  { what: 'Infinity', payload: 'Infinity', reason: 'decode' },
  { what: 'byte order mark', payload: '\ufeff{"value":1}', reason: 'decode' },
  { what: 'NUL in a text', payload: bytes('{"value":1,"unit":"', [0], '"}'), reason: 'decode' },
  { what: 'bytes that are not UTF-8', payload: bytes('{"unit":"', [0xff, 0xfe], '"}'), reason: 'decode' },
  {
    what: 'surrogate encoded as UTF-8',
    payload: bytes('{"unit":"', [0xed, 0xa0, 0x80], '"}'),
    reason: 'decode',
  },
  { what: 'binary payload', payload: Buffer.from([0, 1, 2, 3, 254, 255]), reason: 'decode' },
  { what: '1e400', payload: '{"value":1e400}', reason: 'range' },
  { what: '-1e400, bare', payload: '-1e400', reason: 'range' },
  { what: 'lone surrogate as an escape', payload: '{"value":1,"unit":"\\ud800"}', reason: 'range' },
  { what: 'value as text', payload: '{"value":"21.4"}', reason: 'schema' },
  { what: 'value null', payload: '{"value":null}', reason: 'schema' },
  { what: 'value true', payload: 'true', reason: 'schema' },
  { what: 'null', payload: 'null', reason: 'schema' },
  { what: 'text', payload: '"21.4"', reason: 'schema' },
  { what: 'no value', payload: '{"ts":1700000000000}', reason: 'schema' },
  { what: 'value and values', payload: '{"value":1,"values":{"a":1}}', reason: 'schema' },
  { what: 'values as a list', payload: '{"values":[1,2]}', reason: 'schema' },
  { what: 'values empty', payload: '{"values":{}}', reason: 'schema' },
  { what: 'empty array', payload: '[]', reason: 'schema' },
  { what: 'prototype key as a metric', payload: '{"values":{"__proto__":1}}', reason: 'schema' },
  { what: 'constructor as a metric', payload: '{"values":{"constructor":1}}', reason: 'schema' },
  { what: 'prototype key in place of a value', payload: '{"__proto__":{"value":1}}', reason: 'schema' },
  { what: 'metric with a dot', payload: '{"values":{"a.b":1}}', reason: 'schema' },
  { what: 'deep nesting', payload: deep(50_000), reason: 'schema' },
  { what: 'deep nesting in a value', payload: `{"value":${deep(50_000)}}`, reason: 'schema' },
  { what: 'fractional seq', payload: '{"value":1,"seq":1.5}', reason: 'range' },
  { what: 'negative seq', payload: '{"value":1,"seq":-1}', reason: 'range' },
  { what: 'seq as text', payload: '{"value":1,"seq":"1"}', reason: 'schema' },
  { what: 'seconds for milliseconds', payload: `{"value":1,"ts":${seconds}}`, reason: 'range' },
  { what: 'time without a zone', payload: '{"value":1,"ts":"2026-01-01T00:00:00"}', reason: 'schema' },
  { what: '31 February', payload: '{"value":1,"ts":"2026-02-31T00:00:00Z"}', reason: 'range' },
  { what: 'time an hour ahead', payload: `{"value":1,"ts":${inOneHour()}}`, reason: 'clock-skew' },
  { what: 'unit of 100 bytes', payload: `{"value":1,"unit":"${'x'.repeat(100)}"}`, reason: 'range' },
  {
    what: 'CloudEvent without an id',
    payload: '{"specversion":"1.0","source":"a","type":"b","data":1}',
    reason: 'schema',
  },
  {
    what: 'CloudEvent of another version',
    payload: '{"specversion":"0.3","id":"1","source":"a","type":"b","data":1}',
    reason: 'schema',
  },
  { what: 'more readings than allowed', payload: JSON.stringify(Array(1_001).fill(1)), reason: 'range' },
  {
    what: 'values where the topic names a metric',
    payload: '{"values":{"a":1}}',
    reason: 'schema',
    topic: `${TOPIC}/a`,
  },
  {
    what: "another device's topic",
    payload: '{"value":1}',
    reason: 'rejected',
    topic: 'telemetry/v1/plant/good',
  },
  { what: 'another site', payload: '{"value":1}', reason: 'rejected', topic: 'telemetry/v1/other/bad' },
  { what: 'topic of no template', payload: '{"value":1}', reason: 'rejected', topic: 'a/b' },
  { what: 'level with a dot', payload: '{"value":1}', reason: 'rejected', topic: `${TOPIC}/a.b` },
  { what: 'empty level', payload: '{"value":1}', reason: 'rejected', topic: `${TOPIC}/` },
  {
    what: 'prototype key as a level',
    payload: '{"value":1}',
    reason: 'rejected',
    topic: `${TOPIC}/__proto__`,
  },
  { what: '$SYS topic', payload: 'x', reason: 'rejected', topic: '$SYS/edge/new/clients' },
  { what: 'event that is no JSON', payload: '{', reason: 'decode', topic: 'events/v1/plant/bad/boot' },
];

const publish = (fields: Partial<Extract<Packet, { cmd: 'publish' }>>): Buffer =>
  mqtt.generate({
    cmd: 'publish',
    topic: TOPIC,
    payload: '1',
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1,
    ...fields,
  });
/** A PUBLISH with any bytes for a topic and any packet id. */
const rawPublish = (topic: Buffer, id: number, first = 0x32): Buffer => {
  const body = bytes([topic.length >> 8, topic.length & 255], topic, [id >> 8, id & 255], '1');
  return bytes([first, body.length], body);
};
const frame = (first: number, body: Buffer): Buffer => bytes([first, body.length], body);

interface BadFrame {
  readonly what: string;
  readonly send: Buffer;
  /** Reason in `weir_edge_refusals_total`. */
  readonly refusal: string;
}

/** The connection is closed; nothing of it was accepted, so nothing is kept. */
const FRAMES: readonly BadFrame[] = [
  {
    what: 'announcement of 256 MiB',
    send: bytes([0x30, 0xff, 0xff, 0xff, 0x7f]),
    refusal: 'packet-too-large',
  },
  { what: 'packet over the limit', send: bytes([0x30, 0x80, 0x80, 0x20]), refusal: 'packet-too-large' },
  { what: 'length of five bytes', send: bytes([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), refusal: 'malformed' },
  { what: 'packet id 0 in PUBLISH', send: rawPublish(Buffer.from(TOPIC), 0), refusal: 'packet-id-zero' },
  {
    what: 'packet id 0 in SUBSCRIBE',
    send: frame(0x82, bytes([0, 0, 0, 1], 'a', [0])),
    refusal: 'packet-id-zero',
  },
  { what: 'packet id 0 in PUBREL', send: frame(0x62, bytes([0, 0])), refusal: 'packet-id-zero' },
  { what: 'NUL in a topic', send: rawPublish(bytes('a', [0], 'b'), 1), refusal: 'ill-formed-text' },
  { what: 'U+D800 in a topic', send: rawPublish(bytes([0xed, 0xa0, 0x80]), 1), refusal: 'ill-formed-text' },
  { what: 'overlong UTF-8 in a topic', send: rawPublish(bytes([0xc0, 0xaf]), 1), refusal: 'ill-formed-text' },
  { what: 'topic of 65,535 bytes', send: publish({ topic: 'x'.repeat(65_535) }), refusal: 'topic-too-long' },
  { what: 'empty topic', send: rawPublish(Buffer.alloc(0), 1), refusal: 'malformed' },
  { what: 'wildcard in a topic', send: rawPublish(Buffer.from('telemetry/#'), 1), refusal: 'malformed' },
  {
    what: 'topic longer than its packet',
    send: frame(0x32, bytes([0xff, 0xff], 'abc')),
    refusal: 'malformed',
  },
  { what: 'QoS 3', send: rawPublish(Buffer.from(TOPIC), 1, 0x36), refusal: 'malformed' },
  { what: 'DUP with QoS 0', send: rawPublish(Buffer.from(TOPIC), 1, 0x38), refusal: 'malformed' },
  { what: 'reserved packet type', send: bytes([0xf0, 0]), refusal: 'malformed' },
  { what: 'packet that only a server sends', send: bytes([0x20, 2, 0, 0]), refusal: 'malformed' },
  {
    what: 'wrong flags in SUBSCRIBE',
    send: frame(0x80, bytes([0, 1, 0, 1], 'a', [0])),
    refusal: 'malformed',
  },
  { what: 'SUBSCRIBE without a filter', send: frame(0x82, bytes([0, 1])), refusal: 'malformed' },
  { what: 'filter a#', send: frame(0x82, bytes([0, 1, 0, 2], 'a#', [0])), refusal: 'malformed' },
  { what: 'requested QoS 3', send: frame(0x82, bytes([0, 1, 0, 1], 'a', [3])), refusal: 'malformed' },
  { what: 'PINGREQ with a body', send: bytes([0xc0, 1, 0]), refusal: 'malformed' },
  { what: 'second CONNECT', send: encodeConnect({ clientId: 'bad' }), refusal: 'malformed' },
];

const login = { username: 'bad', password: SECRET };
const connectWith = (change: (packet: Buffer) => void): Buffer => {
  const packet = encodeConnect({ clientId: 'bad', ...login });
  change(packet);
  return packet;
};

interface BadConnect {
  readonly what: string;
  readonly send: Buffer;
  /** Return code of the CONNACK; null: closed without one. */
  readonly answer: number | null;
}

const CONNECTS: readonly BadConnect[] = [
  { what: 'PUBLISH before CONNECT', send: publish({}), answer: null },
  { what: 'HTTP on the MQTT port', send: Buffer.from('GET / HTTP/1.1\r\n\r\n'), answer: null },
  { what: 'protocol name MQTX', send: connectWith((p) => p.write('X', 7)), answer: null },
  { what: 'protocol level 5', send: connectWith((p) => p.writeUInt8(5, 8)), answer: 1 },
  {
    what: 'reserved CONNECT flag',
    send: connectWith((p) => p.writeUInt8(p.readUInt8(9) | 1, 9)),
    answer: null,
  },
  {
    what: 'will QoS without a will',
    send: connectWith((p) => p.writeUInt8(p.readUInt8(9) | 8, 9)),
    answer: null,
  },
  {
    what: 'no client id with a kept session',
    send: encodeConnect({ clientId: '', clean: false, ...login }),
    answer: 2,
  },
  { what: 'NUL in the client id', send: encodeConnect({ clientId: 'a\0b', ...login }), answer: null },
  { what: 'no credentials', send: encodeConnect({ clientId: 'bad' }), answer: 4 },
  {
    what: 'wrong secret',
    send: encodeConnect({ clientId: 'bad', username: 'bad', password: 'x' }),
    answer: 5,
  },
  {
    what: 'unknown device',
    send: encodeConnect({ clientId: 'who', username: 'who', password: 'x' }),
    answer: 5,
  },
  { what: "taking over another's client id", send: encodeConnect({ clientId: 'good', ...login }), answer: 2 },
  {
    what: 'will to a wildcard',
    send: encodeConnect({ clientId: 'bad', ...login, will: { topic: 'a/#', payload: Buffer.from('x') } }),
    answer: null,
  },
];

describe('bad input', () => {
  let rig: Rig;
  let good: RawClient;
  let tidy = async (): Promise<void> => {};
  after(() => tidy());
  before(async () => {
    const scope: Scope = {
      after: (each) => {
        tidy = each;
      },
    };
    rig = await openRig(scope, {
      devices: [{ device: 'bad' }, { device: 'good' }],
      env: { WEIR_EDGE__LIMITS__CONNECT_TIME: '500ms' },
    });
    good = await rig.connect({ clientId: 'good', username: 'good', password: SECRET });
    atEnd(scope, () => good.drop());
    await good.accepted();
  });

  async function bad(scope: Scope): Promise<RawClient> {
    const client = await rig.connect({ clientId: 'bad', ...login });
    atEnd(scope, () => client.drop());
    assert.equal((await client.accepted()).returnCode, 0);
    return client;
  }
  /** The other device goes on as if nothing were. */
  async function goodGoesOn(): Promise<void> {
    const before = (await rig.envelopes()).length;
    await good.publish('telemetry/v1/plant/good', '{"value":1}');
    const envelopes = await rig.envelopes();
    assert.equal(envelopes.length, before + 1);
    assert.equal(envelopes.at(-1)?.device, 'good');
    assert.equal(good.isClosed, false);
  }

  for (const { what, payload, reason, topic = TOPIC } of PAYLOADS) {
    test(`payload: ${what} → acknowledged, dead letter "${reason}"`, async (t) => {
      const client = await bad(t);
      const before = (await rig.deadLetters()).length;
      const readings = (await rig.envelopes()).length;
      await client.publish(topic, payload);
      const letters = (await rig.deadLetters()).slice(before);
      assert.equal(letters.length, 1);
      const [letter] = letters;
      assert.equal(letter?.headers['x-dlq-reason'], reason, letter?.headers['x-dlq-error-message']);
      assert.equal(letter?.headers['x-dlq-origin'], topic);
      assert.equal(letter?.key, 'bad');
      assert.deepEqual(letter?.raw, Buffer.from(payload as string));
      assert.equal((await rig.envelopes()).length, readings);
      await client.publish(TOPIC, '{"value":1}'); // the same connection goes on
      await goodGoesOn();
    });
  }

  for (const { what, send, refusal } of FRAMES) {
    test(`frame: ${what} → connection closed (${refusal})`, async (t) => {
      const client = await bad(t);
      const kept = (await rig.records()).filter(({ kind }) => kind !== 'event').length;
      const count = await rig.metric('weir_edge_refusals_total', { reason: refusal });
      client.write(send);
      await client.closed();
      assert.equal(await rig.metric('weir_edge_refusals_total', { reason: refusal }), count + 1);
      assert.equal((await rig.records()).filter(({ kind }) => kind !== 'event').length, kept);
      await goodGoesOn();
    });
  }

  for (const { what, send, answer } of CONNECTS) {
    test(`CONNECT: ${what} → ${answer === null ? 'closed' : `return code ${answer}`}`, async (t) => {
      const client = await RawClient.open(rig.mqttPort);
      atEnd(t, () => client.drop());
      client.write(send);
      if (answer !== null)
        assert.deepEqual(await client.accepted(), { returnCode: answer, sessionPresent: false });
      await client.closed();
      assert.equal(client.inbox.length, 0);
      await goodGoesOn();
    });
  }

  test('CONNECT: one byte at a time → closed when the time is over', async (t) => {
    const client = await RawClient.open(rig.mqttPort);
    atEnd(t, () => client.drop());
    const packet = encodeConnect({ clientId: 'bad', ...login });
    let sent = 0;
    await until(
      () => {
        if (sent < packet.length - 1) client.write(packet.subarray(sent, ++sent));
        return client.isClosed;
      },
      { deadlineMs: 20_000, what: 'the slow connection is closed', everyMs: 40 },
    );
    assert.ok(sent < packet.length);
    await goodGoesOn();
  });

  test('array: the bad elements are buried with their own bytes, the good ones are readings', async (t) => {
    const client = await bad(t);
    const before = (await rig.deadLetters()).length;
    const payload = `[{"value":1}, {"value": 1e999} ,{"value":3,"ts":${inOneHour()}}, "x",5]`;
    await client.publish(TOPIC, payload);
    const letters = (await rig.deadLetters()).slice(before);
    assert.deepEqual(
      letters.map(({ headers, raw }) => [headers['x-dlq-reason'], raw.toString().replace(/\d{13}/, 'T')]),
      [
        ['range', '{"value": 1e999}'],
        ['clock-skew', '{"value":3,"ts":T}'],
        ['schema', '"x"'],
      ],
    );
    const envelope = (await rig.envelopes()).at(-1);
    assert.deepEqual(envelope?.skip, [1, 2, 3]);
    await goodGoesOn();
  });

  test('10,000 bad payloads and then a good one', async (t) => {
    const client = await bad(t);
    const total = 10_000;
    let acked = 0;
    for (let sent = 0; sent < total; ) {
      const packets: Buffer[] = [];
      for (let i = 0; i < 100; i++)
        packets.push(publish({ payload: '{"value":', messageId: (++sent % 60_000) + 1 }));
      client.write(Buffer.concat(packets));
      for (let i = 0; i < 100; i++, acked++) await client.next('puback');
    }
    assert.equal(acked, total);
    await client.publish(TOPIC, '{"value":42}');
    assert.deepEqual((await rig.envelopes()).at(-1)?.payload, { value: 42 });
  });
});
