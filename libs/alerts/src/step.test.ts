import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareWithLimits, type Limits, meetsLimits } from './limits.ts';
import { step } from './step.ts';
import type { RuleState, Transition } from './types.ts';

/** Limits with a hold time, milliseconds. */
type Rule = Limits & { readonly hold: number };
type Reading = readonly [ts: number, value: number];
interface Found {
  readonly ts: number;
  readonly since: number | undefined;
  readonly transition: Transition;
}

function run(rule: Rule, readings: readonly Reading[], from?: RuleState) {
  let state = from;
  const found: Found[] = [];
  for (const [ts, value] of readings) {
    const { state: now, transition } = step(rule.hold, state, { ts, ...compareWithLimits(rule, value) });
    if (transition !== undefined)
      found.push({ ts, since: now.phase === 'ok' ? undefined : now.since, transition });
    state = now;
  }
  return { state, found };
}
const names = (found: readonly Found[]): string[] => found.map(({ ts, transition }) => `${transition}@${ts}`);

test('pending, firing after the hold time, resolved beyond the hysteresis', () => {
  const rule = { above: 80, clear: 75, hold: 10 };
  const { found } = run(rule, [
    [0, 70],
    [5, 81],
    [10, 90],
    [14, 90],
    [15, 80.5],
    [16, 78], // between clear and threshold: still firing
    [17, 85],
    [18, 75],
    [19, 78], // not above the threshold: stays ok
  ]);
  assert.deepEqual(names(found), ['pending@5', 'firing@15', 'resolved@18']);
  assert.equal(found[1]?.since, 5);
});

test('a break before the hold time starts it anew', () => {
  const rule = { below: 10, hold: 10 };
  const { found } = run(rule, [
    [0, 5],
    [9, 5],
    [10, 10],
    [11, 5],
    [20, 5],
    [21, 5],
  ]);
  assert.deepEqual(names(found), ['pending@0', 'vanished@10', 'pending@11', 'firing@21']);
});

test('without a hold time it fires at once and never is pending', () => {
  const { found } = run({ above: 1, hold: 0 }, [
    [0, 2],
    [1, 1],
    [2, 3],
  ]);
  assert.deepEqual(names(found), ['firing@0', 'resolved@1', 'firing@2']);
});

test('a band: either side counts, and changing sides is no break', () => {
  const rule = { above: 10, below: 0, hold: 5 };
  const { found } = run(rule, [
    [0, 11],
    [3, -1],
    [5, 12],
    [6, -2],
    [7, 5],
  ]);
  assert.deepEqual(names(found), ['pending@0', 'firing@5', 'resolved@7']);
  assert.equal(compareWithLimits(rule, 11).threshold, 10);
  assert.equal(compareWithLimits(rule, -1).threshold, 0);
});

test('what is not newer is ignored', () => {
  const rule = { above: 10, hold: 5 };
  const { found } = run(rule, [
    [10, 11],
    [10, 0], // same time: the first one counts
    [9, 0], // older
    [15, 11],
    [12, 0],
  ]);
  assert.deepEqual(names(found), ['pending@10', 'firing@15']);
});

const value = fc.integer({ min: -20, max: 120 });
const rules: fc.Arbitrary<Rule> = fc
  .record({
    side: fc.constantFrom('above', 'below', 'band'),
    limit: fc.integer({ min: 0, max: 100 }),
    gap: fc.integer({ min: 0, max: 15 }),
    hasClear: fc.boolean(),
    hold: fc.integer({ min: 0, max: 30 }),
  })
  .map(({ side, limit, gap, hasClear, hold }) => {
    if (side === 'band') return { above: limit + gap, below: limit - gap, hold };
    const clear = side === 'above' ? limit - gap : limit + gap;
    return { [side]: limit, hold, ...(hasClear ? { clear } : {}) };
  });
/** Strictly increasing times. */
const series: fc.Arbitrary<Reading[]> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 10 }), value), { maxLength: 120 })
  .map((steps) => {
    let ts = 0;
    return steps.map(([gap, v]) => {
      ts += gap;
      return [ts, v] as const;
    });
  });

test('property: it fires exactly when every reading from the first to the hold time meets the condition', () => {
  fc.assert(
    fc.property(rules, series, (rule, readings) => {
      for (const { ts, since, transition } of run(rule, readings).found) {
        if (transition !== 'firing') continue;
        assert.ok(since !== undefined && ts - since >= rule.hold, 'not before the hold time');
        const during = readings.filter(([at]) => at >= since && at <= ts);
        assert.ok(during.every(([, v]) => meetsLimits(rule, v)));
        const before = during.filter(([at]) => at < ts);
        assert.ok(
          before.every(([at]) => at - since < rule.hold),
          'and not later than it could',
        );
      }
    }),
  );
});

test('property: at most one alert is open, and each goes pending → firing → resolved or vanishes', () => {
  fc.assert(
    fc.property(rules, series, (rule, readings) => {
      let open: 'none' | 'pending' | 'firing' = 'none';
      for (const { transition } of run(rule, readings).found) {
        if (transition === 'pending') assert.equal(open, 'none');
        if (transition === 'firing') assert.equal(open, rule.hold === 0 ? 'none' : 'pending');
        if (transition === 'vanished') assert.equal(open, 'pending');
        if (transition === 'resolved') assert.equal(open, 'firing');
        open = transition === 'pending' || transition === 'firing' ? transition : 'none';
      }
    }),
  );
});

test('property: no alert while the condition is never met; none open after a value that clears it', () => {
  fc.assert(
    fc.property(rules, series, (rule, readings) => {
      const good = readings.filter(([, v]) => !meetsLimits(rule, v));
      assert.deepEqual(run(rule, good).found, []);
      const clear =
        rule.clear ??
        (rule.above !== undefined && rule.below !== undefined
          ? (rule.above + rule.below) / 2
          : (rule.above ?? rule.below ?? 0));
      const { state } = run(rule, [...readings, [1_000_000, clear]]);
      assert.equal(state?.phase, 'ok');
    }),
  );
});

test('property: lines sent again, doubled or overtaken change nothing', () => {
  const noise = fc.array(fc.record({ after: fc.nat(), back: fc.nat({ max: 50 }), value }), { maxLength: 60 });
  fc.assert(
    fc.property(rules, series, noise, (rule, readings, extra) => {
      const noisy: Reading[] = [];
      for (const [index, reading] of readings.entries()) {
        noisy.push(reading);
        for (const { after, back, value: other } of extra) {
          if (after % readings.length === index) noisy.push([Math.max(0, reading[0] - back), other]);
        }
      }
      assert.deepEqual(run(rule, noisy), run(rule, readings));
    }),
  );
});

test('property: stopping anywhere and going on from the kept state gives the same', () => {
  fc.assert(
    fc.property(rules, series, fc.nat(), (rule, readings, at) => {
      const cut = readings.length === 0 ? 0 : at % readings.length;
      const first = run(rule, readings.slice(0, cut));
      const kept =
        first.state === undefined ? undefined : (JSON.parse(JSON.stringify(first.state)) as RuleState);
      const second = run(rule, readings.slice(Math.max(0, cut - 5)), kept); // the last five come again
      const whole = run(rule, readings);
      assert.deepEqual([...first.found, ...second.found], whole.found);
      assert.deepEqual(second.state ?? first.state, whole.state);
    }),
  );
});
