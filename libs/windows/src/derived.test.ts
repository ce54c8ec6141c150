import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEnvelope, type Envelope, readingsOf } from '@weir/reading';
import { type DerivedCounts, type DerivedMetric, deriving } from './derived.ts';

const AT = 1_700_000_000_000;
const envelope = (payload: unknown, device = 'd', site = 's'): Envelope =>
  decodeEnvelope(JSON.stringify({ v: 1, edge: 'e/1', site, device, via: 'mqtt', n: 1, at: AT, payload }));
const power: DerivedMetric = { metric: 'power', expression: 'voltage * current', unit: 'W', match: '*/*' };

/** Metric, value, time and sequence number of what follows from a payload. */
function derived(
  metrics: readonly DerivedMetric[],
  line: Envelope,
  counts?: (metric: string) => DerivedCounts,
) {
  const sent = readingsOf(line);
  const all = deriving(metrics, counts)(line, sent);
  assert.deepEqual(all.slice(0, sent.length), sent, 'what was sent stands first, unchanged');
  return all.slice(sent.length).map(({ metric, value, ts, seq }) => [metric, value, ts, seq]);
}

test('a reading follows where all inputs are in one message, with their time and sequence number', () => {
  const both = { ts: AT - 5, seq: 7, values: { voltage: 230, current: 2 } };
  const line = envelope(both);
  assert.deepEqual(derived([power], line), [['power', 460, AT - 5, 7]]);
  const [made] = deriving([power])(line, readingsOf(line)).slice(2);
  assert.equal(made?.unit, 'W');
  assert.equal(made?.stamped, true);
  assert.deepEqual(derived([power], envelope({ ts: AT, values: { voltage: 230 } })), []);
  assert.deepEqual(derived([power], envelope(5)), []);
  const nothing = envelope({ values: { voltage: 1 } });
  const sent = readingsOf(nothing);
  assert.equal(deriving([power])(nothing, sent), sent, 'the same array when nothing follows');
});

test('elements of an array are apart unless time and sequence number are the same', () => {
  const line = envelope([
    { ts: AT, seq: 1, values: { voltage: 230 } },
    { ts: AT, seq: 1, values: { current: 1 } },
    { ts: AT, seq: 2, values: { voltage: 100, current: 2 } },
    { ts: AT, seq: 2, values: { voltage: 100, current: 3 } },
    { ts: AT + 1, seq: 3, values: { voltage: 100 } },
    { ts: AT + 2, seq: 3, values: { current: 100 } },
  ]);
  assert.deepEqual(derived([power], line), [
    ['power', 230, AT, 1],
    ['power', 200, AT, 2],
    ['power', 300, AT, 2],
  ]);
});

test('no result, and a value of its own, are counted and make no reading', () => {
  const counts: Record<string, DerivedCounts> = {};
  const counter = (metric: string): DerivedCounts => {
    counts[metric] = { made: 0, notFinite: 0, given: 0 };
    return counts[metric];
  };
  const ratio: DerivedMetric = { metric: 'ratio', expression: 'a / b', match: '*/*' };
  const line = envelope([
    { ts: AT, seq: 1, values: { a: 1, b: 0 } },
    { ts: AT, seq: 2, values: { a: 0, b: 0 } },
    { ts: AT, seq: 3, values: { a: 1, b: 4 } },
    { ts: AT, seq: 4, values: { a: 1, b: 4, ratio: 9 } },
  ]);
  assert.deepEqual(derived([ratio], line, counter), [['ratio', 0.25, AT, 3]]);
  assert.deepEqual(counts, { ratio: { made: 1, notFinite: 2, given: 1 } });
});

test('a definition uses the ones before it, and holds for the devices that it names', () => {
  const kilo: DerivedMetric = { metric: 'kilowatts', expression: 'power / 1000', match: 'plant-*/meter-?*' };
  const payload = { ts: AT, seq: 1, values: { voltage: 500, current: 4 } };
  assert.deepEqual(derived([power, kilo], envelope(payload)), [['power', 2_000, AT, 1]]);
  assert.deepEqual(
    derived([power, { ...kilo, match: 'plant-*/meter-*' }], envelope(payload, 'meter-1', 'plant-2')),
    [
      ['power', 2_000, AT, 1],
      ['kilowatts', 2, AT, 1],
    ],
  );
});
