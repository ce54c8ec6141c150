import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scoreSeries } from '@weir/windows';
import { judge, type Labelled, readLabelled } from './judge.ts';
import { FAULTS, SIGNALS, synthetic } from './synthetic.ts';

const MINUTE_MS = 60_000;

for (const labelled of readLabelled()) {
  test(`finds the labelled failures of ${labelled.name}`, (t) => {
    const { found, falseAlarms, weeks, falseAlarmsPerWeek, falseShare } = judge(
      labelled,
      scoreSeries(labelled.series).alarms,
    );
    labelled.windows.forEach(([from], i) => {
      t.diagnostic(`window of ${new Date(from).toISOString()}: ${found[i] === 'began' ? 'yes' : found[i]}`);
    });
    t.diagnostic(
      `${falseAlarms.length} false alarms in ${weeks.toFixed(1)} weeks: ${falseAlarmsPerWeek.toFixed(2)} a week, ${(falseShare * 100).toFixed(1)} % of the time`,
    );
    assert.ok(found.length > 0 && found.every((one) => one === 'began'), found.join(', '));
    assert.ok(falseAlarmsPerWeek <= 1, `${falseAlarmsPerWeek} false alarms a week`);
    assert.ok(falseShare < 0.1, `an alarm was open for ${falseShare} of the time in which nothing was wrong`);
  });
}

/** Finds of faults and false alarms over the series of one signal. */
function measure(series: readonly Labelled[]): {
  faults: number;
  found: number;
  falseAlarms: number;
  weeks: number;
} {
  const total = { faults: 0, found: 0, falseAlarms: 0, weeks: 0 };
  for (const one of series) {
    const { found, falseAlarms, weeks } = judge(one, scoreSeries(one.series).alarms);
    total.faults += found.length;
    total.found += found.filter((way) => way !== 'missed').length;
    total.falseAlarms += falseAlarms.length;
    total.weeks += weeks;
  }
  return total;
}

test('finds faults in twelve kinds of series, with few false alarms in each', (t) => {
  let all = 0;
  let missed = 0;
  for (const signal of SIGNALS) {
    // A constant that stays constant is no fault that anybody could see.
    const faults = FAULTS.filter((fault) => signal !== 'constant' || fault !== 'stuck');
    const { found, falseAlarms, weeks, ...of } = measure(
      faults.map((fault) => synthetic({ signal, fault, seed: 1, days: 42, stepMs: 15 * MINUTE_MS })),
    );
    t.diagnostic(
      `${signal}: ${found} of ${of.faults} faults, ${(falseAlarms / weeks).toFixed(2)} false alarms a week`,
    );
    assert.ok(falseAlarms / weeks <= 1, `${signal}: ${falseAlarms} false alarms in ${weeks} weeks`);
    all += of.faults;
    missed += of.faults - found;
  }
  assert.ok(missed <= all * 0.1, `${missed} of ${all} faults were missed`);
});

test('works on an hour a reading and on a reading a second of a short recording', (t) => {
  for (const [days, stepMs] of [
    [90, 60 * MINUTE_MS],
    [0.25, 1_000],
  ] as const) {
    const { found, falseAlarms, weeks, ...of } = measure(
      (['spike', 'shift', 'noise'] as const).map((fault) =>
        synthetic({ signal: 'pink noise', fault, seed: 2, days, stepMs }),
      ),
    );
    t.diagnostic(
      `every ${stepMs / 1_000} s: ${found} of ${of.faults}, ${falseAlarms} false alarms in ${weeks.toFixed(2)} weeks`,
    );
    assert.equal(found, of.faults);
    assert.ok(falseAlarms <= Math.ceil(weeks));
  }
});
