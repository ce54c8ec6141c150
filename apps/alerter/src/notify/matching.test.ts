import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Alert } from '@weir/api';
import fc from 'fast-check';
import { fits, isWanted, matchesAll } from './matching.ts';
import { testAlert } from './test-alert.ts';

const [told] = testAlert('a').alerts;
assert.ok(told);
const alert: Alert = {
  ...told.alert,
  ...{ site: 'plant-1', device: 'pump-7', rule: 'hot', severity: 'warning', labels: { team: 'a' } },
};

test('a pattern fits as the regular expression of it does', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (p, t) => {
      const regex = new RegExp(`^${p.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
      assert.equal(fits(p, t), regex.test(t));
    }),
    { numRuns: 2_000 },
  );
});

test('a pattern that would keep a regular expression busy for ever takes no time', () => {
  const started = performance.now();
  assert.equal(fits(`${'*a'.repeat(60)}*b`, 'a'.repeat(200)), false);
  assert.ok(performance.now() - started < 1_000);
});

test('matchers look at fields and labels, and all must fit', () => {
  const is = (name: string, value: string, op: '=' | '!=' = '=') => ({ name, op, value });
  assert.ok(matchesAll([is('site', 'plant-*'), is('team', 'a')], alert));
  assert.ok(!matchesAll([is('site', 'plant-*'), is('team', 'b')], alert));
  assert.ok(matchesAll([is('rule', 'cold', '!=')], alert));
  assert.ok(!matchesAll([is('rule', 'h*', '!=')], alert));
  assert.ok(!matchesAll([is('nothing', '?*')], alert), 'a label that it has not is empty');
});

test('a notifier wants what fits one of each of its lists', () => {
  assert.ok(isWanted({}, alert));
  assert.ok(isWanted({ severity: ['critical', 'warning'], site: ['x', 'plant-*'] }, alert));
  assert.ok(!isWanted({ severity: ['critical'], site: ['plant-*'] }, alert));
});
