import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertRule } from '@weir/config/alert-rules';
import fc from 'fast-check';
import { MissingReadings } from './missing.ts';
import { ruleSet } from './rule-set.ts';
import { step } from './step.ts';
import type { Observation, RuleState, SeriesKey } from './types.ts';

const AFTER = 8_000;
const rules = ruleSet([alertRule.parse({ id: 'gone', kind: 'missing', metric: 'm', after: '8s' })]);
const options = { maxSeries: 100, reconnectMs: 5_000, edgeOf: () => 'edge' };

/** Missing readings over a database that keeps states, and an edge that tells how far it is. */
class Watch {
  readonly states = new Map<string, { series: SeriesKey; state: RuleState }>();
  readonly changes: string[] = [];
  #missing = new MissingReadings(rules, options);
  #told = 0;

  #keep(observations: readonly Observation[]): void {
    for (const observation of observations) {
      const { rule, site, device, metric, ts } = observation;
      const { state, transition } = step(0, this.states.get(device)?.state, observation);
      this.states.set(device, { series: { rule, site, device, metric }, state });
      if (transition !== undefined) this.changes.push(`${device} ${transition} ${ts}`);
    }
  }
  heard(device: string, at: number): void {
    const readings = [{ device, at }];
    this.#keep(this.#missing.heard({ site: 's', metric: 'm', edge: 'edge', readings }));
  }
  progress(upTo: number, since = 0): void {
    const said = { edge: 'edge', upTo, since, hlc: String(this.#told++).padStart(9, '0') };
    for (const queue of ['normal', 'critical', 'events'] as const) this.#missing.progress(said, queue, 0);
    this.#keep(this.#missing.judge());
  }
  restart(): void {
    this.#missing = new MissingReadings(rules, options);
    this.#missing.restore(this.states.values());
  }
}

test('it is missing when its edge has heard nothing for as long as the rule says', () => {
  const watch = new Watch();
  watch.heard('a', 1_000);
  watch.progress(8_999);
  assert.deepEqual(watch.changes, []);
  watch.progress(9_000);
  watch.progress(20_000);
  watch.heard('a', 20_500);
  assert.deepEqual(watch.changes, ['a firing 9000', 'a resolved 20500']);
});

test('an edge that did not listen gives its devices time to come back', () => {
  const watch = new Watch();
  watch.heard('a', 1_000);
  watch.progress(100_000, 95_000);
  watch.progress(107_999, 95_000);
  assert.deepEqual(watch.changes, []);
  watch.progress(108_000, 95_000);
  assert.deepEqual(watch.changes, ['a firing 108000']);
});

test('one queue that is behind holds the time of the edge', () => {
  const missing = new MissingReadings(rules, options);
  missing.heard({ site: 's', metric: 'm', edge: 'edge', readings: [{ device: 'a', at: 1 }] });
  const say = (queue: 'normal' | 'critical' | 'events', upTo: number): void =>
    missing.progress({ edge: 'edge', upTo, since: 0, hlc: String(upTo).padStart(9, '0') }, queue, 0);
  for (const queue of ['normal', 'critical', 'events'] as const) say(queue, 5_000);
  say('critical', 90_000);
  say('events', 90_000);
  assert.deepEqual(missing.judge(), []);
  say('normal', 90_000);
  assert.equal(missing.judge().length, 1);
});

test('property: told neither before its time nor, but for what a restart forgets, after it', () => {
  const steps = fc.array(
    fc.record({
      wait: fc.integer({ min: 1, max: 6_000 }),
      act: fc.constantFrom('a', 'b', 'progress', 'progress', 'restart'),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (list) => {
      const watch = new Watch();
      const heard = new Map<string, number>();
      let now = 10_000;
      for (const { wait, act } of list) {
        now += wait;
        if (act === 'restart') watch.restart();
        else if (act === 'progress') {
          watch.progress(now);
          for (const [device, at] of heard) {
            const firing = watch.states.get(device)?.state.phase === 'firing';
            if (now - at < AFTER) assert.equal(firing, false, `${device} was heard ${now - at} ms ago`);
            // A new process does not know the last eighth of the time.
            if (now - at >= AFTER + AFTER / 8) assert.equal(firing, true, `${device} not for ${now - at} ms`);
          }
        } else {
          heard.set(act, now);
          watch.heard(act, now);
        }
      }
    }),
    { numRuns: 200 },
  );
});
