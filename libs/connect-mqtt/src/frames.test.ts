import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { encodePublish, encodeTopic, FrameReader } from './frames.ts';

const packet = fc.record({
  topic: fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter((t) => !/[+#\0]/u.test(t)),
  payload: fc.uint8Array({ maxLength: 20_000 }),
  qos: fc.constantFrom(0, 1, 2),
  id: fc.integer({ min: 1, max: 65_535 }),
  dup: fc.boolean(),
  retain: fc.boolean(),
});

test('a PUBLISH has the bytes that mqtt-packet gives it', () => {
  fc.assert(
    fc.property(packet, ({ topic, payload, qos, id, dup, retain }) => {
      const ours = encodePublish(encodeTopic(topic), Buffer.from(payload), { qos, id, dup, retain });
      const theirs = generate({
        cmd: 'publish',
        topic,
        payload: Buffer.from(payload),
        qos,
        messageId: id,
        dup,
        retain,
      });
      assert.deepEqual(ours, theirs);
    }),
    { numRuns: 200 },
  );
});

test('frames come out whole however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 50 }),
      (payloads, size) => {
        const topic = encodeTopic('t');
        const stream = Buffer.concat(
          payloads.map((p) => encodePublish(topic, Buffer.from(p), { qos: 0, id: 0 })),
        );
        const reader = new FrameReader();
        const found: string[] = [];
        for (let at = 0; at < stream.length; at += size) {
          reader.push(stream.subarray(at, at + size), (head, body) => {
            assert.equal(head, 0x30);
            found.push(body.subarray(3).toString('hex'));
          });
        }
        assert.deepEqual(
          found,
          payloads.map((p) => Buffer.from(p).toString('hex')),
        );
      },
    ),
  );
});

test('a length that lies is refused', () => {
  const announce =
    (...bytes: number[]) =>
    () =>
      new FrameReader(1000).push(Buffer.from(bytes), () => {});
  assert.throws(announce(0x30, 0xff, 0xff, 0xff, 0x7f), /announces 268435455 bytes/);
  assert.throws(announce(0x30, 0xff, 0xff, 0xff, 0xff, 0x7f), /malformed length/);
  assert.doesNotThrow(announce(0x30, 0xff), 'an unfinished length waits');
});

test('a topic longer than the protocol allows is refused', () => {
  assert.throws(() => encodeTopic('x'.repeat(65_536)), /65,535 bytes/);
  assert.throws(() => encodeTopic(''), /1 to 65,535/);
});
