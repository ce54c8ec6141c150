import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoRule, labelledWindows, recordedReadings } from '../recording.fixture.ts';
import { evaluateReading, type RuleState } from './threshold.ts';

test('the demo rule finds the failure of the recorded machine, and nothing else in ten weeks', () => {
  const rule = demoRule();
  const start = Date.parse('2026-01-01T00:00:00Z');
  let state: RuleState | undefined;
  const found: [string, string][] = [];
  for (const [step, { time, value }] of recordedReadings().entries()) {
    // As the demo's fleet replays it: one recorded reading a second.
    const after = evaluateReading(rule, state, start + step * 1_000, value);
    state = after.state;
    if (after.transition === 'firing' || after.transition === 'resolved')
      found.push([after.transition, time]);
  }
  assert.deepEqual(found, [
    ['firing', '2014-02-08 05:10:00'],
    ['resolved', '2014-02-09 12:05:00'],
  ]);
  const [from = '', to = ''] = labelledWindows().at(-1) ?? [];
  for (const [, time] of found) assert.ok(time >= from && time <= to, `${time} lies in ${from} to ${to}`);
});
