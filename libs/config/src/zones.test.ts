import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from './index.ts';

test('time zones of sites, from a file or a variable; a name that is none is told', () => {
  assert.deepEqual(loadConfig({ env: {} }).edge.timeZones, {});
  const env = { WEIR_EDGE__TIME_ZONES: 'plant-1=Europe/Berlin, * = Asia/Tokyo' };
  assert.deepEqual(loadConfig({ env }).edge.timeZones, { 'plant-1': 'Europe/Berlin', '*': 'Asia/Tokyo' });
  assert.throws(
    () => loadConfig({ env: { WEIR_EDGE__TIME_ZONES: 'plant-1=Berlin' } }),
    /edge\.timeZones\.plant-1: "Berlin" is no IANA time zone, such as Europe\/Berlin/,
  );
});
