import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from './metrics.ts';

test('a tally says what a histogram of the same observations says', async () => {
  const buckets = [0.01, 0.1, 1];
  const one = new Metrics('test');
  const histogram = one.histogram('weir_test_seconds', 'Time', [], buckets);
  const other = new Metrics('test');
  const tally = other.tally('weir_test_seconds', 'Time', buckets);
  for (const [seconds, times] of [
    [0.005, 3],
    [0.01, 2],
    [0.0625, 4],
    [2, 1],
  ] as const) {
    for (let i = 0; i < times; i++) histogram.observe(seconds);
    tally.observe(seconds, times);
  }
  const textOf = (metrics: Metrics): Promise<string> =>
    metrics.registry.getSingleMetricAsString('weir_test_seconds');
  assert.equal(await textOf(other), await textOf(one));
  assert.equal(other.tally('weir_test_seconds', 'Time', buckets), tally);
});
