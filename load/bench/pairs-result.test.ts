import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { plotPairs } from './pairs-plot.ts';
import {
  FIGURES,
  inPairs,
  type Pair,
  type PairRun,
  type Pairs,
  summarise,
  worseThan,
} from './pairs-result.ts';

const BUDGET = { readingsPerSecond: 0.5, clientMicroseconds: 2 };

const run = (figures: Partial<PairRun>): PairRun => ({
  ...{ readingsPerSecond: 40_000, acknowledgedPerSecond: 41_000, ackP50Ms: 20, ackP99Ms: 60 },
  ...{ clientMicroseconds: 20, allMicroseconds: 30, clientMiB: 900, lost: 0, duplicates: 0 },
  ...{ cpuMicroseconds: { sender: 2, edge: 12.25, kafka: 4 }, residentMiB: { edge: 200 } },
  ...{ cpuBusy: 0.9, cpuForeign: 0.01 },
  ...figures,
});
const resultOf = (pairs: readonly Pair[]): Pairs => ({
  ...{
    date: '2026-11-21T12:00:00.000Z',
    machine: { cpus: '2 × <C&A>', memoryGiB: 24, kernel: '6', node: 'v24' },
  },
  ...{ payload: 'one-value', messages: 300_000, connections: 100, window: 20, devices: 1_000 },
  ...{ pairs, summary: summarise(pairs) },
});

test('both systems run in turns, Weir first', async () => {
  const order: string[] = [];
  let running = 0;
  const pairs = await inPairs(3, async (name, pair) => {
    assert.equal(running++, 0, 'never both at once');
    order.push(`${name} ${pair}`);
    await new Promise(setImmediate);
    running--;
    return order.length;
  });
  assert.deepEqual(order, ['weir 1', 'peer 1', 'weir 2', 'peer 2', 'weir 3', 'peer 3']);
  assert.deepEqual(pairs, [
    { weir: 1, peer: 2 },
    { weir: 3, peer: 4 },
    { weir: 5, peer: 6 },
  ]);
});

test('the summary is the median of each system, and of the ratios within pairs', () => {
  const pairs = [
    { weir: run({ readingsPerSecond: 60 }), peer: run({ readingsPerSecond: 30 }) },
    // A slow minute of the machine: both suffer, the ratio stays.
    { weir: run({ readingsPerSecond: 20 }), peer: run({ readingsPerSecond: 10 }) },
    { weir: run({ readingsPerSecond: 90 }), peer: run({ readingsPerSecond: 40 }) },
  ];
  assert.deepEqual(summarise(pairs).readingsPerSecond, {
    weir: { median: 60, least: 20, most: 90 },
    peer: { median: 30, least: 10, most: 40 },
    ratio: { median: 2, least: 2, most: 2.25 },
  });
});

test('a summary lies between least and most, whatever the order of the pairs', () => {
  const figure = fc.double({ min: 0.001, max: 1e6, noNaN: true });
  const pairs = fc.array(
    fc.tuple(figure, figure).map(([weir, peer]) => ({
      weir: run({ clientMicroseconds: weir }),
      peer: run({ clientMicroseconds: peer }),
    })),
    { minLength: 1, maxLength: 9 },
  );
  fc.assert(
    fc.property(pairs, (some) => {
      const summary = summarise(some);
      assert.deepEqual(summarise([...some].reverse()), summary);
      for (const { key } of FIGURES) {
        for (const { least, median, most } of Object.values(summary[key]))
          assert.ok(least <= median && median <= most);
      }
    }),
  );
});

test('what is broken is said in sentences, what is only slow is not', () => {
  const complaints = (...pairs: readonly Pair[]) => worseThan({ pairs, summary: summarise(pairs) }, BUDGET);
  assert.deepEqual(complaints({ weir: run({}), peer: run({}) }), []);
  assert.deepEqual(
    complaints({ weir: run({ readingsPerSecond: 50 }), peer: run({ readingsPerSecond: 90 }) }),
    [],
  );
  assert.deepEqual(
    complaints(
      { weir: run({}), peer: run({}) },
      { weir: run({ lost: 3, duplicates: 1 }), peer: run({ lost: 5, duplicates: 7 }) },
    ),
    [
      'Weir lost 3 readings in pair 2',
      'Weir counted 1 readings twice in pair 2',
      'the peer chain lost 5 readings in pair 2',
    ],
  );
  assert.deepEqual(
    complaints({
      weir: run({ readingsPerSecond: 10, clientMicroseconds: 90 }),
      peer: run({ readingsPerSecond: 40, clientMicroseconds: 30 }),
    }),
    [
      "Weir's readings/s are 0.25 times the peer's, at least 0.5 expected",
      "Weir's client CPU is 3.00 times the peer's, at most 2 expected",
    ],
  );
});

test('the plot stands alone, follows the colour scheme of its reader and shows every run', () => {
  const pairs = [1, 2, 3].map((i) => ({
    weir: run({ readingsPerSecond: 41_000 + i }),
    peer: run({ readingsPerSecond: 21_000 + i, cpuMicroseconds: { mosquitto: 8, 'telegraf-mqtt': 23.5 } }),
  }));
  const svg = plotPairs(resultOf(pairs));
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  assert.match(svg, /prefers-color-scheme: dark/);
  assert.doesNotMatch(svg, /<script|<image|href=|url\(|NaN|undefined|Infinity/);
  assert.match(svg, /2 × &lt;C&amp;A&gt;/);
  for (const shown of [
    '41,001',
    '41,002',
    '41,003',
    '21,001',
    '21,002',
    '21,003',
    'edge 12.3',
    'telegraf-mqtt 23.5',
  ])
    assert.ok(svg.includes(shown), shown);
  const opened = svg.match(/<(?!\/)[a-z]+[^>]*[^/]>/g)?.length;
  assert.equal(opened, svg.match(/<\/[a-z]+>/g)?.length, 'every element is closed');
});

test('one pair is plotted, too, and a figure of zero does no harm', () => {
  const svg = plotPairs(
    resultOf([{ weir: run({ clientMiB: 0 }), peer: run({ clientMiB: 0, cpuMicroseconds: {} }) }]),
  );
  assert.doesNotMatch(svg, /Infinity/);
});
