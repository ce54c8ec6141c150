import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LocalZone, ReadOffsets, zonesOfSites } from './local-zone.ts';

const utc = (text: string): number => Date.parse(`${text}Z`);
const berlin = new LocalZone('Europe/Berlin');

test('summer and winter', () => {
  assert.equal(berlin.offset(utc('2026-01-01T00:00:00'), 0), 60);
  assert.equal(berlin.offset(utc('2026-07-01T00:00:00'), 0), 120);
  assert.equal(new LocalZone('Asia/Kolkata').offset(utc('2026-07-01T00:00:00'), 0), 330);
  assert.equal(new LocalZone('America/St_Johns').offset(utc('2026-01-01T00:00:00'), 0), -210);
});

test('clocks go forward: a time that never occurs is read as if they had not yet', () => {
  // 2026-03-29, 02:00 CET -> 03:00 CEST
  assert.equal(berlin.offset(utc('2026-03-29T01:59:59'), 0), 60);
  assert.equal(berlin.offset(utc('2026-03-29T02:30:00'), 0), 60);
  assert.equal(berlin.offset(utc('2026-03-29T03:00:00'), 0), 120);
});

test('clocks go back: of a time that occurs twice the one nearer to the arrival is meant', () => {
  // 2026-10-25, 03:00 CEST -> 02:00 CET
  const local = utc('2026-10-25T02:30:00');
  assert.equal(berlin.offset(local, utc('2026-10-25T00:30:01')), 120);
  assert.equal(berlin.offset(local, utc('2026-10-25T01:30:01')), 60);
  assert.equal(berlin.offset(local, utc('2026-10-26T00:00:00')), 60, 'a backlog: the later one');
  assert.equal(berlin.offset(utc('2026-10-25T01:59:59'), 0), 120);
  assert.equal(berlin.offset(utc('2026-10-25T03:00:00'), 0), 60);
});

test('property: a device that stamps with the clock on its wall is read right, at every minute of a year', () => {
  for (const name of [
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'America/St_Johns',
    'Africa/Casablanca',
  ]) {
    const zone = new LocalZone(name);
    const parts = new Intl.DateTimeFormat('en-CA', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    fc.assert(
      fc.property(
        fc.integer({ min: utc('2025-01-01T00:00:00'), max: utc('2027-01-01T00:00:00') }),
        (time) => {
          const now = Math.floor(time / 1_000) * 1_000;
          const shown = Object.fromEntries(parts.formatToParts(now).map(({ type, value }) => [type, value]));
          const local = utc(
            `${shown.year}-${shown.month}-${shown.day}T${shown.hour}:${shown.minute}:${shown.second}`,
          );
          assert.equal(local - zone.offset(local, now + 700) * 60_000, now);
        },
      ),
      { numRuns: 300 },
    );
  }
});

test('sites have their zone, others the one of *', () => {
  const zones = zonesOfSites({ 'plant-1': 'Europe/Berlin', '*': 'UTC' });
  assert.equal(zones('plant-1')?.offset(utc('2026-01-01T00:00:00'), 0), 60);
  assert.equal(zones('plant-2')?.offset(utc('2026-01-01T00:00:00'), 0), 0);
  assert.equal(zonesOfSites({ 'plant-1': 'UTC' })('plant-2'), undefined);
});

test('a payload states one offset, or one for each element when they differ', () => {
  const read = (...stamps: (string | null)[]) => {
    const offsets = new ReadOffsets(berlin, utc('2026-10-25T01:30:01'));
    stamps.forEach((stamp, index) => {
      if (stamp !== null) offsets.ask(utc(stamp), index);
    });
    return offsets.result;
  };
  assert.equal(read(null, null), undefined);
  assert.equal(read(null, '2026-01-01T00:00:00', '2026-01-01T00:00:10'), 60);
  assert.deepEqual(read(null, '2026-07-01T00:00:00', null, '2026-01-01T00:00:10'), [0, 120, 0, 60]);
});
