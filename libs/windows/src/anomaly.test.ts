import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ANOMALY_MEMORY_MS, type AnomalySeries, scoreSeries } from './anomaly.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from './anomaly-baseline.ts';
import { medianOf, quartilesOf, RollingSample } from './anomaly-rolling.ts';
import { Threshold } from './anomaly-threshold.ts';

const T0 = Date.UTC(2026, 0, 5);

/** A day's course with uniform noise that is the same every time. */
function daily(
  count: number,
  stepMs: number,
  value = (_ts: number, plain: number) => plain,
): AnomalySeries[] {
  let state = 5;
  return Array.from({ length: count }, (_, i) => {
    const ts = T0 + i * stepMs;
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const noise = state / 2 ** 32 - 0.5;
    return { ts, value: value(ts, 20 + 5 * Math.sin((2 * Math.PI * ts) / DAY_MS) + noise) };
  });
}

test('rolling median and MAD are those of the values in the horizon', () => {
  const number = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ min: -1e12, max: 1e12, noNaN: true }));
  const step = fc.record({ after: fc.integer({ min: 0, max: 40 }), value: number });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (steps) => {
      const sample = new RollingSample(500);
      const all: { ts: number; value: number }[] = [];
      let ts = 0;
      for (const { after, value } of steps) {
        ts += after;
        sample.add(ts, value);
        all.push({ ts, value });
        const kept = all.filter((one) => one.ts > ts - 500).map((one) => one.value);
        const median = medianOf(kept);
        assert.equal(sample.size, kept.length);
        assert.ok(near(sample.median(), median));
        const deviations = kept.map((one) => Math.abs(one - sample.median())).sort((a, b) => a - b);
        assert.equal(sample.mad(), deviations[(deviations.length - 1) >> 1]);
      }
    }),
    { numRuns: 200 },
  );
});

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), 1e-300);

test('quartiles of a list are interpolated', () => {
  assert.deepEqual(quartilesOf([4, 2, 3, 1]), [1.75, 2.5, 3.25]);
  assert.equal(medianOf([3, 1]), 2);
  assert.ok(Number.isNaN(medianOf([])));
});

for (const kind of ['averages', 'values'] as const) {
  test(`a threshold of ${kind} is exceeded about as often as it says`, () => {
    // The largest of a day's exponential values have a Gumbel distribution, those of their powers a Fréchet one.
    let state = 7;
    const exponential = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return -Math.log((state + 0.5) / 2 ** 32);
    };
    const threshold = new Threshold({
      minimumZ: 0,
      returnMs: 28 * DAY_MS,
      growth: 0.1,
      blocks: 28,
      of: kind,
    });
    let days = 0;
    let over = 0;
    for (let day = 0; day < 4_000; day++) {
      let exceeded = false;
      for (let hour = 0; hour < 24; hour++) {
        const ts = T0 + day * DAY_MS + hour * HOUR_MS;
        const z = kind === 'averages' ? exponential() : Math.exp(exponential() / 2);
        if (day >= 28 && z > threshold.at(ts)) exceeded = true;
        threshold.add(ts, z);
      }
      if (day < 28) continue;
      days++;
      if (exceeded) over++;
    }
    const expected = days / 28;
    assert.ok(over > expected * 0.5 && over < expected * 2, `${over} of ${days} days, expected ${expected}`);
  });
}

test('says nothing while it knows too little, and then raises one alarm for one spike', () => {
  const spike = T0 + 10 * DAY_MS + 5 * HOUR_MS;
  const series = daily(14 * 288, 5 * MINUTE_MS, (ts, plain) => (ts === spike ? plain + 15 : plain));
  const { scores, alarms } = scoreSeries(series);
  assert.equal(scores[0]?.score, null);
  assert.equal(scores[0]?.expected, null);
  assert.deepEqual(
    alarms.map(({ from, cause }) => ({ from, cause })),
    [{ from: spike, cause: 'value' }],
  );
  // Its two steps stay in the spread of the next six hours.
  assert.ok((alarms[0]?.to ?? 0) <= spike + 7 * HOUR_MS);
});

test('the course of the day is learnt: a warm night is found, a warm noon is not', () => {
  const night = T0 + 12 * DAY_MS + 18 * HOUR_MS;
  const series = daily(14 * 288, 5 * MINUTE_MS, (ts, plain) =>
    ts >= night && ts < night + HOUR_MS ? 24 : plain,
  );
  const { alarms } = scoreSeries(series);
  assert.equal(alarms.length, 1);
  assert.ok((alarms[0]?.from ?? 0) >= night && (alarms[0]?.from ?? 0) < night + HOUR_MS);
});

test('a level that moves away and a sensor that is stuck are found', () => {
  const from = T0 + 20 * DAY_MS;
  const drift = scoreSeries(
    daily(28 * 288, 5 * MINUTE_MS, (ts, plain) => plain + Math.max(0, (ts - from) / DAY_MS) / 5),
  );
  assert.equal(drift.alarms[0]?.cause, 'level');
  assert.ok((drift.alarms[0]?.from ?? 0) > from && (drift.alarms[0]?.from ?? 0) < from + 6 * DAY_MS);
  let held = Number.NaN;
  const stuck = scoreSeries(
    daily(22 * 288, 5 * MINUTE_MS, (ts, plain) => {
      if (ts < from) return plain - 5 * Math.sin((2 * Math.PI * ts) / DAY_MS);
      if (Number.isNaN(held)) held = 20;
      return held;
    }),
  );
  assert.equal(stuck.alarms[0]?.cause, 'spread');
  assert.ok((stuck.alarms[0]?.from ?? 0) <= from + 8 * HOUR_MS);
});

test('a constant is no anomaly, also when its average is rounded; its first change is one', () => {
  const series = Array.from({ length: 10 * 1_440 }, (_, i) => ({ ts: T0 + i * MINUTE_MS, value: 0.1 }));
  assert.deepEqual(scoreSeries(series).alarms, []);
  const changed = [...series, { ts: T0 + 10 * DAY_MS, value: 0.2 }];
  assert.equal(scoreSeries(changed).alarms.length, 1);
});

test('a spike inside a window is seen by its largest value', () => {
  const at = T0 + 10 * DAY_MS;
  const windows = daily(14 * 24, HOUR_MS).map(({ ts, value }) => ({ ts, value, low: value - 0.5 }));
  const ofValues = (most: (ts: number, value: number) => number): number[] =>
    scoreSeries(windows.map((one) => ({ ...one, high: most(one.ts, one.value) })))
      .alarms.filter(({ cause }) => cause === 'value')
      .map(({ from }) => from);
  assert.deepEqual(
    ofValues((ts, value) => (ts === at ? value + 30 : value + 0.5)),
    [at],
  );
  assert.deepEqual(
    ofValues((_, value) => value + 0.5),
    [],
  );
});

test('a score depends on earlier readings alone, and on none that came late', () => {
  const series = daily(6 * 288, 5 * MINUTE_MS, (ts, plain) => plain + (ts % 7 === 0 ? 3 : 0));
  const whole = scoreSeries(series).scores;
  const half = scoreSeries(series.slice(0, 4 * 288)).scores;
  assert.deepEqual(whole.slice(0, half.length), half);

  const late = series.flatMap((one, i) =>
    i % 50 === 49 ? [one, { ...one, ts: one.ts - HOUR_MS, value: 99 }] : [one],
  );
  const scores = scoreSeries(late).scores.filter((_, i) => (i + 1) % 51 !== 0);
  assert.deepEqual(scores, whole);
});

test('scoring that begins ANOMALY_MEMORY_MS earlier gives the same scores', () => {
  const gap = (ts: number): boolean => ts > T0 + 70 * DAY_MS && ts < T0 + 75 * DAY_MS;
  const series = daily(130 * 24, HOUR_MS, (ts, plain) => plain + (ts % (11 * DAY_MS) === 0 ? 9 : 0)).filter(
    ({ ts }) => !gap(ts),
  );
  const from = T0 + 115 * DAY_MS;
  const whole = scoreSeries(series).scores;
  const part = series.filter(({ ts }) => ts >= from - ANOMALY_MEMORY_MS);
  const scores = scoreSeries(part).scores;
  const first = series.findIndex(({ ts }) => ts >= from);
  assert.deepEqual(scores.slice(first - series.length), whole.slice(first));
});
