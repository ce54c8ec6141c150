import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuleOf } from '@weir/config/alert-rules';
import fc from 'fast-check';
import {
  type AlertChange,
  type Evaluation,
  Evaluator,
  type ReadingBatch,
  touchedSeries,
} from './evaluation.ts';
import { type RuleSet, ruleSet } from './rule-set.ts';
import type { RuleState } from './types.ts';

const rule = (over: Partial<RuleOf<'threshold'>>): RuleOf<'threshold'> => ({
  id: 'hot',
  kind: 'threshold',
  metric: 'temperature',
  site: '*',
  device: '*',
  above: 80,
  hold: 10,
  severity: 'warning',
  labels: {},
  ...over,
});
function evaluate(
  rules: RuleSet,
  before: ReadonlyMap<string, RuleState>,
  batches: readonly ReadingBatch[],
): Evaluation {
  const evaluator = new Evaluator(rules, before);
  for (const one of batches) evaluator.readings(one);
  return evaluator;
}
const batch = (readings: [device: string, ts: number, value: number][], site = 'plant'): ReadingBatch => ({
  site,
  metric: 'temperature',
  readings: readings.map(([device, ts, value]) => ({ device, ts, value })),
});

test('the changes of one alert fold into its last, a new one begins after it', () => {
  const rules = ruleSet([rule({})]);
  const { changes, states, evaluated } = evaluate(rules, new Map(), [
    batch([
      ['a', 0, 90],
      ['a', 10, 91],
      ['a', 11, 70],
      ['a', 12, 99],
    ]),
  ]);
  assert.equal(evaluated, 4);
  assert.deepEqual(
    changes.map(({ state, opened, startedAt, firedAt, firedValue, resolvedAt, value }) => ({
      ...{ state, opened, startedAt, firedAt, firedValue, resolvedAt, value },
    })),
    [
      {
        state: 'resolved',
        opened: true,
        startedAt: 0,
        firedAt: 10,
        firedValue: 91,
        resolvedAt: 11,
        value: 70,
      },
      {
        ...{ state: 'pending', opened: true, startedAt: 12, firedAt: undefined, firedValue: undefined },
        ...{ resolvedAt: undefined, value: 99 },
      },
    ],
  );
  assert.deepEqual([...states.values()][0]?.state, { phase: 'pending', since: 12, lastTs: 12 });
});

test('a rule watches its site, device and metric only', () => {
  const rules = ruleSet([rule({ site: 'plant', device: 'a', hold: 0 }), rule({ id: 'any', hold: 0 })]);
  const batches = [
    batch([
      ['a', 0, 90],
      ['b', 0, 90],
    ]),
    batch([['a', 0, 90]], 'other'),
  ];
  const expected = ['hot plant a', 'any plant a', 'any plant b', 'any other a'];
  const { changes } = evaluate(rules, new Map(), batches);
  const names = (list: Iterable<{ rule: string; site: string; device: string }>): string[] =>
    [...list].map((series) => `${series.rule} ${series.site} ${series.device}`);
  assert.deepEqual(names(changes.map(({ series }) => series)), expected);
  assert.deepEqual(names(touchedSeries(rules, batches).values()), expected);
  const humid = { ...batch([['a', 0, 90]]), metric: 'humidity' };
  assert.equal(touchedSeries(rules, [humid]).size, 0);
});

test('readings that change nothing write nothing', () => {
  const rules = ruleSet([rule({})]);
  const first = evaluate(rules, new Map(), [batch([['a', 5, 90]])]);
  const before = new Map([...first.states].map(([key, { state }]) => [key, state]));
  const again = evaluate(rules, before, [
    batch([
      ['a', 5, 90],
      ['a', 4, 10],
    ]),
  ]);
  assert.equal(again.states.size, 0);
  assert.deepEqual(again.changes, []);
});

/** The rows that a table of alerts would hold. */
function apply(rows: Map<string, Partial<AlertChange>>, changes: readonly AlertChange[]): void {
  for (const { opened, ...change } of changes) {
    if (change.state === 'vanished') rows.delete(change.id);
    else if (opened) rows.set(change.id, { ...change });
    else rows.set(change.id, { ...rows.get(change.id), ...change });
    const open = [...rows.values()]
      .filter(({ state }) => state !== 'resolved')
      .map(({ series }) => series?.device);
    assert.equal(new Set(open).size, open.length, 'a series has one open alert');
  }
}

test('property: however the readings are cut into batches, the table of alerts is the same', () => {
  const rules = ruleSet([rule({ clear: 60 })]);
  const reading = fc.tuple(
    fc.constantFrom('a', 'b'),
    fc.integer({ min: 0, max: 200 }),
    fc.constantFrom(50, 70, 90),
  );
  fc.assert(
    fc.property(fc.array(reading, { maxLength: 80 }), fc.array(fc.nat({ max: 10 })), (readings, cuts) => {
      const run = (parts: (typeof readings)[]): Map<string, Partial<AlertChange>> => {
        const states = new Map<string, RuleState>();
        const rows = new Map<string, Partial<AlertChange>>();
        for (const part of parts) {
          const result = evaluate(rules, states, [batch(part)]);
          for (const [key, { state }] of result.states) states.set(key, state);
          apply(rows, result.changes);
        }
        return rows;
      };
      const parts: (typeof readings)[] = [];
      const rest = [...readings];
      for (const cut of cuts) parts.push(rest.splice(0, cut));
      parts.push(rest);
      assert.deepEqual(run(parts), run([readings]));
    }),
  );
});
