import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuleOf } from '@weir/config/alert-rules';
import fc from 'fast-check';
import { Evaluator, type ReadingBatch, touchedSeries } from './evaluation.ts';
import { QuietSeries } from './quiet.ts';
import { type RuleSet, ruleSet } from './rule-set.ts';
import type { RuleState } from './types.ts';

type Reading = ReadingBatch['readings'][number];

const common = { metric: 'temperature', site: '*', device: '*', severity: 'warning', labels: {} } as const;
const hot: RuleOf<'threshold'> = {
  ...common,
  id: 'hot',
  kind: 'threshold',
  above: 80,
  clear: 50,
  hold: 20_000,
};
const sharp: RuleOf<'threshold'> = { ...common, id: 'sharp', kind: 'threshold', above: 90, hold: 0 };
const rise: RuleOf<'rate'> = {
  ...{ ...common, id: 'rise', kind: 'rate', above: 40, over: 30_000, per: 60_000, hold: 15_000 },
};
const limits = ruleSet([hot, sharp]);
/** A rate remembers a reading every two seconds, and is stored with each. */
const all = ruleSet([hot, sharp, rise]);
const batchOf = (readings: readonly Reading[]): ReadingBatch => ({
  ...{ site: 'plant', metric: 'temperature', readings },
});

/** What the alerter does with batches of readings, with a store for the database. */
class Alerter {
  quiet: QuietSeries;
  readonly rules: RuleSet;
  readonly store = new Map<string, RuleState>();
  /** Alerts by id, and what was told of them, in its order. */
  readonly alerts = new Map<string, string>();
  readonly told: string[] = [];

  constructor(rules: RuleSet) {
    this.rules = rules;
    this.quiet = new QuietSeries(rules, 1_000);
  }

  evaluate(readings: readonly Reading[]): void {
    this.quiet.begin();
    const left = [batchOf(this.quiet.take(batchOf(readings), null))];
    const series = touchedSeries(this.rules, left);
    const before = new Map<string, RuleState>();
    for (const [key, one] of series) {
      const state = this.quiet.state(one) ?? this.store.get(key);
      if (state !== undefined) before.set(key, state);
    }
    const evaluator = new Evaluator(this.rules, before);
    for (const batch of left) evaluator.readings(batch);
    const states = this.quiet.unstored(series, evaluator);
    for (const [key, { series: one, state }] of states) {
      this.store.set(key, state);
      assert.ok(this.quiet.stored(one, state));
    }
    for (const { id, state, firedAt } of evaluator.changes) {
      if (state === 'vanished') this.alerts.delete(id);
      else this.alerts.set(id, state);
      if (firedAt !== undefined) this.told.push(`${id} firing`);
      if (state === 'resolved') this.told.push(`${id} resolved`);
    }
  }
  /** The memory is lost. */
  crash(): void {
    this.quiet = new QuietSeries(this.rules, 1_000);
  }
  get phases(): string[] {
    return [...this.store].map(([key, { phase }]) => `${key} ${phase}`).toSorted();
  }
}

const DEVICES = ['a', 'b'];
type Event =
  | { readonly kind: 'fresh'; readonly readings: readonly { device: string; gap: number; value: number }[] }
  | { readonly kind: 'again'; readonly which: number }
  | {
      readonly kind: 'old';
      readonly device: string;
      readonly back: number;
      readonly value: number;
      readonly lost: boolean;
    }
  | { readonly kind: 'crash' };
const device = fc.constantFrom(...DEVICES);
// Long calm stretches with a jump now and then: most readings are quiet.
const value = fc.oneof({ weight: 5, arbitrary: fc.constant(85) }, fc.integer({ min: 0, max: 120 }));
const gap = fc.oneof({ weight: 3, arbitrary: fc.constant(1_000) }, fc.integer({ min: 1, max: 20_000 }));
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('fresh' as const),
      readings: fc.array(fc.record({ device, gap, value }), { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), which: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ kind: fc.constant('old' as const), device, back: fc.nat({ max: 10_000 }), value },
      lost: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
);

test('property: whatever is lost from memory and delivered again, the alerts are those of every reading once', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(limits, all),
      fc.array(event, { minLength: 5, maxLength: 60 }),
      (rules, events) => {
        const alerter = new Alerter(rules);
        const exact = new Evaluator(rules, new Map());
        const handled: (readonly Reading[])[] = [];
        const newest = new Map(DEVICES.map((name) => [name, 1_000_000]));
        /** Heard since the last crash: a reading that is older than this is too old for the memory. */
        const inMemory = new Set<string>();
        for (const one of events) {
          if (one.kind === 'crash') {
            alerter.crash();
            inMemory.clear();
          } else if (one.kind === 'again') {
            if (handled.length > 0) alerter.evaluate(handled[one.which % handled.length] as Reading[]);
          } else if (one.kind === 'old') {
            if (!inMemory.has(one.device)) continue;
            const ts = (newest.get(one.device) as number) - one.back;
            const old = [{ device: one.device, ts, value: one.value }];
            alerter.evaluate(old);
            handled.push(old);
            if (!one.lost) continue;
            alerter.crash();
            inMemory.clear();
            alerter.evaluate(old);
          } else {
            const readings = one.readings.map(({ device: name, gap: ms, value: v }) => {
              const ts = (newest.get(name) as number) + ms;
              newest.set(name, ts);
              inMemory.add(name);
              return { device: name, ts, value: v };
            });
            alerter.evaluate(readings);
            exact.readings(batchOf(readings));
            handled.push(readings);
          }
        }
        const alive = exact.changes.filter(({ state }) => state !== 'vanished');
        assert.deepEqual(
          [...alerter.alerts].toSorted(),
          alive.map(({ id, state }) => [id, state]).toSorted(),
        );
        assert.deepEqual(
          alerter.told.toSorted(),
          alive
            .flatMap(({ id, firedAt, resolvedAt }) => [
              ...(firedAt === undefined ? [] : [`${id} firing`]),
              ...(resolvedAt === undefined ? [] : [`${id} resolved`]),
            ])
            .toSorted(),
        );
        assert.deepEqual(
          alerter.phases,
          [...exact.states].map(([key, { state }]) => `${key} ${state.phase}`).toSorted(),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('a reading that came too late stays too late when the memory is lost', () => {
  const alerter = new Alerter(limits);
  alerter.evaluate([{ device: 'a', ts: 0, value: 20 }]);
  alerter.evaluate([{ device: 'a', ts: 10_000, value: 20 }]);
  const late = [{ device: 'a', ts: 5_000, value: 120 }];
  alerter.evaluate(late);
  alerter.crash();
  alerter.evaluate(late);
  assert.deepEqual([...alerter.alerts], []);
});

test('calm series are stored once in a while, not all at once, and each change at once', () => {
  const calm = ruleSet([hot]);
  const quiet = new QuietSeries(calm, 1_000);
  const devices = Array.from({ length: 100 }, (_, n) => `d-${n}`);
  const stored: number[] = [];
  for (let second = 0; second < 300; second++) {
    const readings = devices.map((name) => ({ device: name, ts: second * 1_000, value: 20 }));
    quiet.begin();
    const left = [batchOf(quiet.take(batchOf(readings), null))];
    const series = touchedSeries(calm, left);
    const evaluator = new Evaluator(calm, new Map());
    for (const batch of left) evaluator.readings(batch);
    const states = quiet.unstored(series, evaluator);
    for (const { series: one, state } of states.values()) quiet.stored(one, state);
    stored.push(states.size);
  }
  assert.equal(stored[0], 100, 'a new series at once');
  const later = stored.slice(1).reduce((sum, count) => sum + count, 0);
  assert.ok(later >= 400 && later <= 1_000, `each of 100 series 4 to 10 times in 5 minutes: ${later}`);
  assert.ok(Math.max(...stored.slice(1)) <= 20, 'spread over the time');
});

test('what has changed is adopted under other rules, as far as they cover it', () => {
  const quiet = new QuietSeries(limits, 1_000);
  const series = { site: 'plant', device: 'a', metric: 'temperature' };
  const state = { phase: 'pending', since: 5, lastTs: 7 } as const;
  for (const rule of ['hot', 'sharp']) quiet.stored({ rule, ...series }, state);
  const next = new QuietSeries(ruleSet([hot, { ...sharp, device: 'b' }]), 1_000);
  next.adopt(quiet);
  assert.deepEqual(next.state({ rule: 'hot', ...series }), state);
  assert.equal(next.state({ rule: 'sharp', ...series }), undefined);
});

test('a reading of a device that no rule names is taken without a trace', () => {
  const quiet = new QuietSeries(ruleSet([{ ...hot, device: 'a' }]), 1_000);
  quiet.begin();
  assert.deepEqual(quiet.take(batchOf([{ device: 'b', ts: 1, value: 99 }]), null), []);
  assert.equal(quiet.evaluated, 0);
});
