import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subscriptionBindings } from './subscriptions.ts';

const keys = (pattern: string): readonly string[] | string => {
  const found = subscriptionBindings(pattern);
  return typeof found === 'string' ? found : found.map(({ key }) => key);
};

test('the class may be left out, and readings that travel alone are meant as well', () => {
  assert.deepEqual(keys('telemetry.plant-1.*'), ['telemetry.*.plant-1.*', 'telemetry.*.plant-1.*.*']);
  assert.deepEqual(keys('telemetry.*.pressure'), ['telemetry.*.*.pressure', 'telemetry.*.*.pressure.*']);
  assert.deepEqual(keys('telemetry.critical.plant-1.*'), [
    'telemetry.critical.plant-1.*',
    'telemetry.critical.plant-1.*.*',
  ]);
  assert.deepEqual(keys('telemetry.*.plant-1.door'), [
    'telemetry.*.plant-1.door',
    'telemetry.*.plant-1.door.*',
  ]);
  assert.deepEqual(keys('telemetry.normal.plant-1.door.gate-7'), ['telemetry.normal.plant-1.door.gate-7']);
  assert.deepEqual(keys('telemetry.plant-1.#'), ['telemetry.*.plant-1.#']);
  assert.deepEqual(keys('telemetry.#'), ['telemetry.#']);
  assert.deepEqual(keys('events.plant-1.*'), ['events.plant-1.*']);
});

test('what is no pattern is refused with a sentence', () => {
  for (const pattern of [
    '',
    'telemetry',
    'alerts.#',
    'telemetry.a b.c',
    'telemetry..x',
    'telemetry.plant',
    'telemetry.a.b.c.d.e',
    `telemetry.${'x'.repeat(300)}.y`,
  ])
    assert.equal(typeof keys(pattern), 'string', pattern);
});
