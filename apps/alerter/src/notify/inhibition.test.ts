import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inhibitionsAt, isOpen } from './inhibition.ts';
import { testAlert } from './test-alert.ts';

const HOUR = 3_600_000;
const window = {
  id: 'w',
  site: 'plant-1',
  device: '*',
  cron: '30 2 * * 6',
  for: 2 * HOUR,
  zone: 'Europe/Berlin',
};
const at = (text: string): number => Date.parse(text);

test('a window lasts from its minute on, in its own zone, to just before its end', () => {
  // Saturday 2026-01-10, 02:30 in Berlin is 01:30 UTC.
  assert.equal(isOpen(window, at('2026-01-10T01:29:59.999Z')), false);
  assert.equal(isOpen(window, at('2026-01-10T01:30:00Z')), true);
  assert.equal(isOpen(window, at('2026-01-10T03:29:59.999Z')), true);
  assert.equal(isOpen(window, at('2026-01-10T03:30:00Z')), false);
  assert.equal(isOpen(window, at('2026-01-09T01:30:00Z')), false, 'Friday');
  assert.equal(isOpen(window, at('2026-07-11T00:30:00Z')), true, 'summer time');
});

test('a window at a time that a day skips begins after the gap', () => {
  const daily = { ...window, cron: '30 2 * * *', for: HOUR };
  // On 2026-03-29 clocks in Berlin go from 02:00 to 03:00, at 01:00 UTC.
  assert.equal(isOpen(daily, at('2026-03-29T00:59:00Z')), false);
  assert.equal(isOpen(daily, at('2026-03-29T01:45:00Z')), true);
});

test('windows that overlap are one; the first reason counts', () => {
  const every = { ...window, cron: '*/10 * * * *', for: HOUR, zone: 'UTC' };
  for (let minute = 0; minute < 30; minute++)
    assert.ok(isOpen(every, at('2026-01-01T00:00:00Z') + minute * 61_000));
  const { alert } = testAlert('a').alerts[0] ?? assert.fail();
  const mine = { ...alert, site: 'plant-1' };
  const now = at('2026-01-01T00:05:00Z');
  const silence = {
    id: 's',
    matchers: [{ name: 'site', op: '=' as const, value: 'plant-1' }],
    from: now,
    to: now + 1,
  };
  const judge = inhibitionsAt({ silences: [silence], maintenance: [every] }, now);
  assert.deepEqual(judge(mine), { reason: 'silenced', cause: 's' });
  assert.deepEqual(judge({ ...mine, suppressedBy: 'b' }), { reason: 'suppressed', cause: 'b' });
  assert.equal(judge({ ...mine, site: 'plant-2' }), undefined);
  const later = inhibitionsAt({ silences: [silence], maintenance: [every] }, now + 1);
  assert.deepEqual(later(mine), { reason: 'maintenance', cause: 'w' });
});
