import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AlertRule,
  alertRule,
  memberRules,
  RULE_KINDS,
  ruleSetProblems,
} from './sections/alert-rules.ts';

const EXAMPLES = [
  { id: 'r', metric: 'm', above: 1 },
  { id: 'r', kind: 'rate', metric: 'm', below: -5, over: '5m', per: '1h' },
  { id: 'r', kind: 'missing', metric: 'm', after: '10m' },
  { id: 'r', kind: 'window', metric: 'm', level: '1m', figure: 'p99', above: 10, clear: 8, hold: '5m' },
  { id: 'r', kind: 'anomaly', metric: 'm', level: '5m', clear: 0.5 },
  { id: 'r', kind: 'offline' },
  { id: 'r', kind: 'edge-silent' },
  { id: 'r', kind: 'composite', when: { all: ['a', { not: 'b' }] } },
  { id: 'r', kind: 'correlation', rule: 'a', devices: 3, within: '30s' },
] as const;
const rules = (list: readonly object[]): AlertRule[] => list.map((one) => alertRule.parse(one));

test('there is a rule of each kind; without a kind it is a threshold', () => {
  assert.deepEqual(
    rules(EXAMPLES).map(({ kind }) => kind),
    RULE_KINDS,
  );
});

for (const [what, rule, why] of [
  ['no limit', { id: 'r', metric: 'm' }, /needs "above", "below" or both/],
  ['limits that cross', { id: 'r', metric: 'm', above: 1, below: 2 }, /must lie under "above"/],
  ['a clear value on the bad side', { id: 'r', metric: 'm', above: 1, clear: 2 }, /good side/],
  [
    'an unknown kind',
    { id: 'r', kind: 'treshold', metric: 'm', above: 1 },
    /no such kind of rule; there are thr/,
  ],
  ['a key of another kind', { id: 'r', kind: 'offline', metric: 'm' }, /Unrecognized key: "metric"/],
  ['a duration without a unit', { id: 'r', kind: 'missing', metric: 'm', after: '5' }, /with its unit/],
  ['an empty condition', { id: 'r', kind: 'composite', when: { all: [] } }, />=1 items/],
  ['a condition that is none', { id: 'r', kind: 'composite', when: 5 }, /expected the id of a rule/],
  ['one device together', { id: 'r', kind: 'correlation', rule: 'a', devices: 1, within: '1s' }, />=2/],
] as const) {
  test(`a rule with ${what} is refused with the reason`, () => {
    const result = alertRule.safeParse(rule);
    assert.match(result.error?.message.replaceAll('\\"', '"') ?? 'accepted', why);
  });
}

test('rules made of others name rules that exist, about devices, and not themselves', () => {
  const list = rules([
    { id: 'a', metric: 'm', above: 1 },
    { id: 'site', kind: 'correlation', rule: 'a', devices: 2, within: '1s' },
    { id: 'x', kind: 'composite', when: { any: ['y', 'site'] } },
    { id: 'y', kind: 'composite', when: { not: 'x' } },
    { id: 'z', kind: 'composite', when: 'nobody' },
    { id: 'a', metric: 'm', above: 2 },
  ]);
  assert.deepEqual(
    ruleSetProblems(list).map(({ index, key, message }) => `${index} ${key}: ${message}`),
    [
      '2 when: "site" is no rule about a device',
      '2 when: the rule is made of itself',
      '3 when: the rule is made of itself',
      '4 when: there is no rule "nobody"',
      '5 id: two rules share the id "a"',
    ],
  );
  assert.deepEqual(memberRules(list[2] as AlertRule), ['y', 'site']);
});
