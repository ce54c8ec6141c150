import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ENVELOPE_CODEC } from '@weir/reading';
import { RECORD_HEADERS } from '@weir/topology';
import fc from 'fast-check';
import { Chunks } from '../chunks.ts';
import { type ArchivedRecord, LineBuffer } from './splice-lines.ts';

const ours = { [RECORD_HEADERS.codec]: ENVELOPE_CODEC };

function record(value: string | Buffer, more: Partial<ArchivedRecord> = {}): ArchivedRecord {
  return { offset: 100n, timestamp: 5, key: null, headers: ours, value: Buffer.from(value), ...more };
}

function lines(buffer: LineBuffer) {
  const { chunks, totals } = buffer.finish();
  const bytes = Buffer.concat(chunks);
  assert.equal(totals.bytes, bytes.length);
  assert.equal(totals.sha256, createHash('sha256').update(bytes).digest('hex'));
  return { texts: bytes.toString('utf8').split('\n').slice(0, -1), totals };
}

test('each line gets its place in front, and keeps every other byte', () => {
  const buffer = new LineBuffer(3, new Chunks());
  assert.deepEqual(
    buffer.add(record('{"v":1,"at":20,"payload": 1.50}\n{"v":1,"at":10,"payload":{"é":1}}\n')),
    {
      lines: 2,
      wrapped: false,
    },
  );
  const { texts, totals } = lines(buffer);
  assert.deepEqual(texts, [
    '{"partition":3,"offset":100,"line":0,"v":1,"at":20,"payload": 1.50}',
    '{"partition":3,"offset":100,"line":1,"v":1,"at":10,"payload":{"é":1}}',
  ]);
  assert.equal(totals.lines, 2);
  assert.equal(totals.records, 1);
  assert.equal(totals.minAt, 10);
  assert.equal(totals.maxAt, 20);
});

test('the arrival time is the one of the head, not one that a device wrote', () => {
  const buffer = new LineBuffer(0, new Chunks());
  buffer.add(record('{"v":1,"at":7,"payload":{"at":99}}\n'));
  assert.deepEqual([lines(buffer).totals.maxAt], [7]);
});

test('a key that ends in "at" is not the arrival time', () => {
  const buffer = new LineBuffer(0, new Chunks());
  buffer.add(record('{"v":1,"format":3,"at":7,"payload":1}\n{"v":1,"heat":5}\n{"v":1,"at":9}\n'));
  const { totals } = lines(buffer);
  assert.deepEqual([totals.minAt, totals.maxAt], [7, 9]);
});

test('a record of very many lines without an arrival time is searched once', { timeout: 30_000 }, () => {
  const buffer = new LineBuffer(0, new Chunks());
  const count = 300_000;
  assert.deepEqual(buffer.add(record('{"v":1}\n'.repeat(count))), { lines: count, wrapped: false });
  const { texts, totals } = lines(buffer);
  assert.equal(texts.at(-1), `{"partition":0,"offset":100,"line":${count - 1},"v":1}`);
  assert.equal(totals.minAt, null);
});

test('the memory of a stored object serves the next ones, whose bytes are their own', () => {
  const memory = new Chunks();
  const first = new LineBuffer(1, memory);
  first.add(record(`{"v":1,"payload":"${'x'.repeat(1_500_000)}"}\n`));
  first.add(record(`{"v":1,"payload":"${'y'.repeat(900_000)}"}\n`));
  const { chunks } = first.finish();
  memory.give(chunks);
  assert.ok(chunks.every(({ length }) => length === 0));
  const [second, third] = [new LineBuffer(2, memory), new LineBuffer(3, memory)];
  second.add(record('{"v":1,"at":4}\n'));
  third.add(record('{"v":1,"at":55}\n'));
  assert.deepEqual(lines(second).texts, ['{"partition":2,"offset":100,"line":0,"v":1,"at":4}']);
  assert.deepEqual(lines(third).texts, ['{"partition":3,"offset":100,"line":0,"v":1,"at":55}']);
});

for (const [name, value, headers] of [
  ['no final newline', '{"v":1}', ours],
  ['an empty line', '{"v":1}\n\n', ours],
  ['an empty object', '{}\n', ours],
  ['an empty value', '', ours],
  ['binary', Buffer.from([0, 255, 10]), ours],
  ['JSON that breaks off, from a stranger', '{"v":1\n', {}],
] as const) {
  test(`a record that is no lines is kept whole: ${name}`, () => {
    const buffer = new LineBuffer(1, new Chunks());
    const given = record(value, { headers, key: Buffer.from('k') });
    assert.equal(buffer.add(given).wrapped, true);
    const [text] = lines(buffer).texts;
    const parsed = JSON.parse(text ?? '') as Record<string, unknown>;
    assert.deepEqual(Buffer.from(String(parsed.raw_base64), 'base64'), given.value);
    assert.deepEqual([parsed.partition, parsed.offset, parsed.line], [1, 100, 0]);
    assert.equal(Buffer.from(String(parsed.key_base64), 'base64').toString(), 'k');
  });
}

test('a stranger’s record of whole JSON lines is spliced', () => {
  const buffer = new LineBuffer(1, new Chunks());
  assert.equal(buffer.add(record('{"temperature":1}\n', { headers: {} })).wrapped, false);
  assert.deepEqual(lines(buffer).texts, ['{"partition":1,"offset":100,"line":0,"temperature":1}']);
});

test('records larger than a chunk, and many small ones, keep their order and bytes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.nat(400_000), { minLength: 1, maxLength: 6 }), { maxLength: 8 }),
      (shape) => {
        const buffer = new LineBuffer(11, new Chunks());
        const expected: string[] = [];
        shape.forEach((sizes, offset) => {
          let value = '';
          sizes.forEach((size, line) => {
            const rest = `"x":"${'a'.repeat(size)}"}`;
            value += `{${rest}\n`;
            expected.push(`{"partition":11,"offset":${offset},"line":${line},${rest}`);
          });
          buffer.add(record(value, { offset: BigInt(offset) }));
        });
        assert.deepEqual(lines(buffer).texts, expected);
      },
    ),
    { numRuns: 30 },
  );
});
