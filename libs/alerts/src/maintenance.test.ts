import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOpen, nextOpening } from './maintenance.ts';

const HOUR = 3_600_000;
const window = { cron: '30 2 * * 6', for: 2 * HOUR, zone: 'Europe/Berlin' };
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

test('the next opening is after the given time', () => {
  assert.equal(nextOpening(window, at('2026-01-10T01:30:00Z')), at('2026-01-17T01:30:00Z'));
});

test('a window at a time that a day skips begins after the gap', () => {
  const daily = { ...window, cron: '30 2 * * *', for: HOUR };
  // On 2026-03-29 clocks in Berlin go from 02:00 to 03:00, at 01:00 UTC.
  assert.equal(isOpen(daily, at('2026-03-29T00:59:00Z')), false);
  assert.equal(isOpen(daily, at('2026-03-29T01:45:00Z')), true);
});
