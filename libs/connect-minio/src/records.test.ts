import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordsIn } from './records.ts';

const object = (first: bigint, last: bigint) => ({ key: 'raw/v1/x', first, last });
const read = (text: string, first: bigint, last: bigint) => [
  ...recordsIn(Buffer.from(text), object(first, last)),
];
const place = (offset: number, line: number): string => `{"partition":3,"offset":${offset},"line":${line},`;

test('records come back with their lines as they were, wrapped ones split', () => {
  const raw = Buffer.from('{"v":1,"a":"ü"}\nno json').toString('base64');
  const text = [
    `${place(7, 0)}"v":1,"payload":{"ts":1,"value":"ü"}}`,
    `${place(7, 1)}"v":1,"n":2}`,
    `${place(8, 0)}"timestamp":5,"headers":{"a":"b"},"raw_base64":"${raw}"}`,
    `${place(9, 0)}"timestamp":5,"raw_base64":""}`,
    `${place(10, 0)}"v":1,"n":3}`,
    '',
  ].join('\n');
  assert.deepEqual(read(text, 7n, 10n), [
    { offset: 7n, lines: ['{"v":1,"payload":{"ts":1,"value":"ü"}}', '{"v":1,"n":2}'] },
    { offset: 8n, lines: ['{"v":1,"a":"ü"}', 'no json'] },
    { offset: 9n, lines: [] },
    { offset: 10n, lines: ['{"v":1,"n":3}'] },
  ]);
});

test('an object that does not hold what its name says is refused', () => {
  const one = `${place(7, 0)}"v":1}\n`;
  const gap = `${one}${place(9, 0)}"v":1}\n`;
  const line = `${one}${place(7, 2)}"v":1}\n`;
  assert.throws(() => read(gap, 7n, 9n), /line 0 of offset 9 follows line 0 of offset 7/);
  assert.throws(() => read(line, 7n, 7n), /line 2 of offset 7/);
  assert.throws(() => read(one, 7n, 8n), /its last record is 7, its name says 8/);
  assert.throws(() => read(one, 6n, 7n), /offset 7 follows/);
  assert.throws(() => read('{"v":1}\n', 7n, 7n), /no place in the log/);
  assert.throws(() => read('', 7n, 7n), /its last record/);
});
