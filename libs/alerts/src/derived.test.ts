import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AlertRule, alertRule, type Condition } from '@weir/config/alert-rules';
import fc from 'fast-check';
import { densest, devicesOf } from './cluster.ts';
import { holds } from './condition.ts';
import { type AlertChange, Evaluator, type ReadingBatch, touchedSeries } from './evaluation.ts';
import { ruleSet } from './rule-set.ts';
import type { RuleState, SeriesKey } from './types.ts';

const rules = (list: readonly object[]): AlertRule[] => list.map((one) => alertRule.parse(one));

/** What the alerter keeps between two evaluations, in memory. */
class Kept {
  readonly rows = new Map<string, Partial<AlertChange> & { coveredBy?: string }>();
  readonly #rules: ReturnType<typeof ruleSet>;
  readonly #states = new Map<string, RuleState>();
  readonly #series = new Map<string, SeriesKey>();

  constructor(list: readonly AlertRule[]) {
    this.#rules = ruleSet(list);
  }

  evaluate(batches: readonly ReadingBatch[]): Evaluator {
    const touched = touchedSeries(this.#rules, batches);
    const before = new Map([...this.#states].filter(([key]) => touched.has(key)));
    let evaluator = new Evaluator(this.#rules, before);
    for (const batch of batches) evaluator.readings(batch);
    if (evaluator.needsOthers) {
      evaluator = new Evaluator(this.#rules, this.#states, {
        seriesOf: (rule, site, device) =>
          [...this.#series.values()].filter(
            (one) => one.rule === rule && one.site === site && one.device === device,
          ),
        firing: (rule, site) =>
          [...this.rows.values()].flatMap(({ id = '', series, state, firedAt = 0 }) =>
            series?.rule === rule && series.site === site && state === 'firing'
              ? { id, device: series.device, metric: series.metric, firedAt }
              : [],
          ),
      });
      for (const batch of batches) evaluator.readings(batch);
    }
    for (const [key, { series, state }] of evaluator.states) {
      this.#states.set(key, state);
      this.#series.set(key, series);
    }
    for (const { opened, ...change } of evaluator.changes) {
      if (change.state === 'vanished') this.rows.delete(change.id);
      else this.rows.set(change.id, opened ? change : { ...this.rows.get(change.id), ...change });
    }
    for (const [id, by] of evaluator.covered) {
      const row = this.rows.get(id);
      if (row !== undefined) row.coveredBy = by;
    }
    for (const row of this.rows.values()) {
      if (row.state === 'firing' && evaluator.released.has(row.coveredBy ?? '')) delete row.coveredBy;
    }
    return evaluator;
  }

  names(): string[] {
    return [...this.rows.values()].map(
      ({ series, state, startedAt }) => `${series?.rule} ${series?.device} ${state} ${startedAt}`,
    );
  }
}
const readings = (metric: string, list: [device: string, ts: number, value: number][]): ReadingBatch => ({
  site: 'plant',
  metric,
  readings: list.map(([device, ts, value]) => ({ device, ts, value })),
});

const HOT = { id: 'hot', metric: 'temperature', above: 80 };
const LOUD = { id: 'loud', metric: 'noise', above: 80 };

test('a composite fires when its members do for its hold time, and ends with them', () => {
  const kept = new Kept(
    rules([
      HOT,
      LOUD,
      { id: 'both', kind: 'composite', when: { all: ['hot', { not: { not: 'loud' } }] }, hold: '10ms' },
    ]),
  );
  kept.evaluate([readings('temperature', [['a', 0, 90]])]);
  kept.evaluate([
    readings('noise', [
      ['a', 5, 90],
      ['b', 5, 90],
    ]),
  ]);
  assert.deepEqual(kept.names(), [
    'hot a firing 0',
    'loud a firing 5',
    'both a pending 5',
    'loud b firing 5',
  ]);
  kept.evaluate([readings('temperature', [['a', 15, 91]])]);
  assert.equal(kept.names()[2], 'both a firing 5');
  kept.evaluate([readings('noise', [['a', 20, 10]])]);
  assert.equal(kept.names()[2], 'both a resolved 5');
});

test('a composite of what does not fire begins with the first member that is heard of', () => {
  const kept = new Kept(rules([HOT, LOUD, { id: 'quiet', kind: 'composite', when: { not: 'loud' } }]));
  kept.evaluate([readings('noise', [['a', 0, 90]])]);
  kept.evaluate([readings('noise', [['a', 1, 10]])]);
  assert.deepEqual(kept.names(), ['loud a resolved 0', 'quiet a firing 1']);
});

test('three devices of a site within the time are one alert that covers theirs until it ends', () => {
  const kept = new Kept(
    rules([HOT, { id: 'site-hot', kind: 'correlation', rule: 'hot', devices: 3, within: '30s' }]),
  );
  const at = (second: number, device: string, value: number): void => {
    kept.evaluate([readings('temperature', [[device, second * 1_000, value]])]);
  };
  at(0, 'early', 90);
  at(40, 'a', 90);
  at(50, 'b', 90);
  assert.equal(kept.rows.size, 3, 'no alert of the site: a and b are two, the first is too long ago');
  at(70, 'c', 90);
  const site = [...kept.rows.values()].find(({ series }) => series?.rule === 'site-hot');
  assert.deepEqual([site?.state, site?.value, site?.series?.device], ['firing', 3, '']);
  at(100, 'late', 90);
  const covered = (): string[] =>
    [...kept.rows.values()].flatMap(({ series, coveredBy }) =>
      coveredBy === undefined ? [] : [series?.device ?? ''],
    );
  assert.deepEqual(covered(), ['a', 'b', 'c', 'late']);
  at(110, 'a', 10);
  at(111, 'b', 10);
  assert.equal(site?.state, 'firing', 'early, c and late are three');
  at(112, 'late', 10);
  const ended = [...kept.rows.values()].find(({ series }) => series?.rule === 'site-hot');
  assert.equal(ended?.state, 'resolved');
  assert.equal(covered().includes('c'), false, 'it still fires, and nothing covers it now');
});

const DERIVED = rules([
  { ...HOT, hold: '3ms' },
  LOUD,
  { id: 'both', kind: 'composite', when: { all: ['hot', 'loud'] }, hold: '5ms' },
  { id: 'either', kind: 'composite', when: { any: ['both', { all: ['loud', { not: 'hot' }] }] } },
  { id: 'site-loud', kind: 'correlation', rule: 'loud', devices: 2, within: '1s', clear: 0 },
]);

test('property: rules made of others find the same however the readings are cut', () => {
  const reading = fc.record({
    metric: fc.constantFrom('temperature', 'noise'),
    device: fc.constantFrom('a', 'b', 'c'),
    ts: fc.integer({ min: 0, max: 3_000 }),
    value: fc.constantFrom(50, 90),
  });
  const cuts = fc.array(fc.integer({ min: 1, max: 10 }));
  fc.assert(
    fc.property(fc.array(reading, { maxLength: 60 }), cuts, (list, sizes) => {
      const batches = list.map(({ metric, device, ts, value }) => readings(metric, [[device, ts, value]]));
      const run = (parts: readonly ReadingBatch[][]): object => {
        const kept = new Kept(DERIVED);
        for (const part of parts) kept.evaluate(part);
        const open = [...kept.rows.values()].filter(({ state }) => state !== 'resolved');
        assert.equal(new Set(open.map(({ series }) => JSON.stringify(series))).size, open.length);
        return new Map([...kept.rows].toSorted(([a], [b]) => (a < b ? -1 : 1)));
      };
      const parts: ReadingBatch[][] = [];
      const rest = [...batches];
      for (const size of sizes) parts.push(rest.splice(0, size));
      parts.push(rest);
      assert.deepEqual(run(parts), run(batches.map((batch) => [batch])));
    }),
    { numRuns: 200 },
  );
});

test('property: the densest stretch has as many devices as any', () => {
  const alert = fc.record({
    id: fc.string(),
    device: fc.constantFrom('a', 'b', 'c', 'd'),
    firedAt: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(
    fc.property(fc.array(alert, { maxLength: 20 }), fc.integer({ min: 0, max: 30 }), (alerts, within) => {
      const found = densest(alerts, within);
      const times = found.map(({ firedAt }) => firedAt);
      assert.ok(found.length === 0 || Math.max(...times) - Math.min(...times) <= within);
      const most = Math.max(
        0,
        ...alerts.map(({ firedAt: from }) =>
          devicesOf(alerts.filter(({ firedAt }) => firedAt >= from && firedAt <= from + within)),
        ),
      );
      assert.equal(devicesOf(found), most);
    }),
  );
});

test('property: conditions follow the laws of logic', () => {
  const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('a', 'b', 'c'),
      fc.record({ all: fc.array(tie('condition'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ any: fc.array(tie('condition'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ not: tie('condition') }),
    ),
  }));
  fc.assert(
    fc.property(condition, condition, fc.subarray(['a', 'b', 'c']), (one, other, firing) => {
      const fires = (rule: string): boolean => firing.includes(rule);
      assert.equal(holds({ not: one }, fires), !holds(one, fires));
      assert.equal(holds({ all: [one, other] }, fires), holds(one, fires) && holds(other, fires));
      assert.equal(
        holds({ any: [one, other] }, fires),
        holds({ not: { all: [{ not: one }, { not: other }] } }, fires),
      );
    }),
  );
});
