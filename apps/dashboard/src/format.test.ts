import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveSeries } from './chart/live-series.ts';
import { bytes, count, figure, measure, rate, signedSpan, span } from './format.ts';

test('figures are short, and what is unknown is not zero', () => {
  assert.deepEqual([null, 0, 99_999, 1_234_567].map(count), ['–', '0', '99,999', '1.23M']);
  assert.deepEqual([null, 0, 0.01, 0.26, 9.96, 12.4, 61_234].map(rate), [
    '–',
    '0',
    '<0.1',
    '0.3',
    '10',
    '12',
    '61,234',
  ]);
  assert.deepEqual([null, 21.400001, 0.000123456].map(measure), ['–', '21.4', '0.00012346']);
  assert.deepEqual([null, 0, 1_023, 1_536, 5 << 20].map(bytes), [
    '–',
    '0 B',
    '1,023 B',
    '1.5 KiB',
    '5.0 MiB',
  ]);
  assert.equal(figure(0.4, '%'), '<1 %');
  assert.equal(figure(null, 'B'), '–');
  assert.deepEqual([400, 59_000, 90_000, 7_200_000, 500_000_000].map(span), [
    '0 s',
    '59 s',
    '2 min',
    '2 h',
    '6 d',
  ]);
  assert.deepEqual([0, 12.4, -600_000].map(signedSpan), ['+0 ms', '+12 ms', '−10 min']);
});

test('live readings stand in the order of their time, once, and only as far back as is kept', () => {
  const series = new LiveSeries(10_000);
  for (const [ts, value] of [
    [1_000, 1],
    [3_000, 3],
    [2_000, 2],
    [3_000, 4],
    [12_500, 9],
  ] as const)
    series.add(ts, value);
  assert.deepEqual(series.data, [
    [3, 12.5],
    [4, 9],
  ]);
});
