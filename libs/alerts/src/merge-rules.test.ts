import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AlertRule, alertRule } from '@weir/config/alert-rules';
import { durationText, mergeRules, parseRule, writtenRule } from './merge-rules.ts';

const rule = (written: object): AlertRule => alertRule.parse(written);
const hot = { id: 'hot', metric: 'temperature', above: 80, hold: '90s' };
const written = (id: string, of: object, enabled = true) => ({ id, rule: { ...of }, enabled });

test('rules made at run time stand in for those of the configuration, and one can be switched off', () => {
  const configured = [rule(hot), rule({ ...hot, id: 'cold', above: undefined, below: 5 })];
  const ids = (...rules: ReturnType<typeof written>[]) =>
    mergeRules(configured, rules).rules.map(
      (one) => `${one.id} ${('above' in one ? one.above : undefined) ?? ''}`,
    );
  assert.deepEqual(ids(), ['hot 80', 'cold ']);
  assert.deepEqual(ids(written('hot', { ...hot, above: 90 })), ['cold ', 'hot 90']);
  assert.deepEqual(ids(written('hot', hot, false)), ['cold ']);
});

test('a rule that cannot be applied takes along those that are made of it, and no others', () => {
  const configured = [
    rule(hot),
    rule({ kind: 'correlation', id: 'many', rule: 'hot', devices: 3, within: '30s' }),
  ];
  const { rules, problems } = mergeRules(configured, [
    written('hot', { metric: 'temperature' }),
    written('fine', { metric: 'm', below: 1 }),
  ]);
  assert.deepEqual(
    rules.map(({ id }) => id),
    ['fine'],
  );
  assert.deepEqual(
    [...problems],
    [
      ['hot', [{ path: 'above', message: 'a rule needs "above", "below" or both' }]],
      ['many', [{ path: 'rule', message: 'there is no rule "hot"' }]],
    ],
  );
});

test('what is wrong with a rule is said with its place', () => {
  assert.deepEqual(parseRule(written('x', { metric: 'm', above: 1, hold: '5' })), [
    {
      path: 'hold',
      message: 'expected a duration with its unit (ms, s, m, h, d), for example "250ms"; got "5"',
    },
  ]);
});

test('a rule is written as it was read', () => {
  for (const one of [
    hot,
    { kind: 'rate', id: 'r', metric: 'm', below: -1, over: '5m', per: '1h', labels: { team: 'a' } },
    { kind: 'missing', id: 'm', metric: 'm', after: '36h' },
    { kind: 'correlation', id: 'c', rule: 'hot', devices: 3, within: '30s', grace: '1500ms' },
    { kind: 'composite', id: 'k', when: { all: ['hot', { not: 'cold' }] }, hold: '0s' },
  ]) {
    assert.deepEqual(rule(writtenRule(rule(one))), rule(one));
  }
  assert.deepEqual([0, 1_500, 90_000, 3_600_000, 172_800_000].map(durationText), [
    '0ms',
    '1500ms',
    '90s',
    '1h',
    '2d',
  ]);
});
