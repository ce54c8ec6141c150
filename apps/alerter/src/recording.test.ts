import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Evaluator, ruleSet } from '@weir/alerts';
import { demoRule, labelledWindows, recordedReadings } from './recording.fixture.ts';

test('the demo rule finds the failure of the recorded machine, and nothing else in ten weeks', () => {
  const rule = demoRule();
  const start = Date.parse('2026-01-01T00:00:00Z');
  const recorded = recordedReadings();
  const at = (ts: number): string => recorded[(ts - start) / 1_000]?.time ?? 'never';
  const evaluator = new Evaluator(ruleSet([rule]), new Map());
  // As the demo's fleet replays it: one recorded reading a second.
  const readings = recorded.map(({ value }, step) => ({
    device: 'machine-1',
    ts: start + step * 1_000,
    value,
  }));
  evaluator.readings({ site: 'plant-1', metric: 'temperature', readings });
  const found = evaluator.changes.flatMap(({ firedAt, resolvedAt }): [string, string][] =>
    firedAt === undefined
      ? []
      : [
          ['firing', at(firedAt)],
          ['resolved', at(resolvedAt ?? 0)],
        ],
  );
  assert.deepEqual(found, [
    ['firing', '2014-02-08 05:10:00'],
    ['resolved', '2014-02-09 12:05:00'],
  ]);
  const [from = '', to = ''] = labelledWindows().at(-1) ?? [];
  for (const [, time] of found) assert.ok(time >= from && time <= to, `${time} lies in ${from} to ${to}`);
});
