import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveReading } from '@weir/api';
import fc from 'fast-check';
import { Newest, newerOf } from './newest.ts';

const reading = (over: Partial<LiveReading> = {}): LiveReading => ({
  site: 'plant-1',
  device: 'pump-7',
  metric: 'temperature',
  value: 1,
  ts: 1_000,
  ...over,
});

test('it keeps the newest of each series by event time, in any order of arrival', () => {
  const arrivals = fc.array(
    fc.record({ device: fc.constantFrom('a', 'b'), metric: fc.constantFrom('m', 'n'), ts: fc.nat(1_000) }),
    { maxLength: 50 },
  );
  fc.assert(
    fc.property(arrivals, (all) => {
      const newest = new Newest();
      newest.active = true;
      for (const [value, one] of all.entries()) newest.take(reading({ ...one, value }));
      for (const device of ['a', 'b']) {
        for (const metric of ['m', 'n']) {
          const own = all.filter((one) => one.device === device && one.metric === metric);
          const most = own.length === 0 ? undefined : Math.max(...own.map(({ ts }) => ts));
          assert.equal(newest.of('plant-1', device).get(metric)?.ts, most);
        }
      }
    }),
    { numRuns: 100 },
  );
});

test('nothing is kept while the windows are not behind, and no more than its bound', () => {
  const newest = new Newest(2);
  newest.take(reading());
  assert.equal(newest.of('plant-1', 'pump-7').size, 0);
  newest.active = true;
  for (const device of ['a', 'b', 'c']) newest.take(reading({ device }));
  newest.take(reading({ device: 'a', ts: 2_000 }));
  assert.equal(newest.of('plant-1', 'c').size, 0, 'beyond the bound');
  assert.equal(newest.of('plant-1', 'a').get('temperature')?.ts, 2_000, 'what is known goes on');
  newest.active = false;
  assert.equal(newest.of('plant-1', 'a').size, 0);
});

test('what is stored is shown until something newer was heard', () => {
  const newest = new Newest();
  newest.active = true;
  newest.take(reading({ value: 7, ts: Date.parse('2026-01-31T12:00:00.000Z') }));
  const heard = newest.of('plant-1', 'pump-7');
  const stored = { metric: 'temperature', unit: 'C', value: 3 };
  const older = { ...stored, at: '2026-01-31T11:59:00.000Z' };
  assert.deepEqual(newerOf(older, heard), { ...stored, value: 7, at: '2026-01-31T12:00:00.000Z' });
  const newer = { ...stored, at: '2026-01-31T12:00:01.000Z' };
  assert.deepEqual(newerOf(newer, heard), newer);
  assert.equal(newerOf({ ...stored, value: null, at: null }, heard).value, 7);
});
