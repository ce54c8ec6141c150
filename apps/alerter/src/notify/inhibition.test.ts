import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOpen } from '@weir/alerts';
import { inhibitionsAt } from './inhibition.ts';
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
