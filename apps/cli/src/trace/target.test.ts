import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTarget } from './target.ts';

test('every form of a reading', () => {
  const ts = Date.parse('2026-01-31T12:00:00Z');
  for (const [text, target] of [
    ['plant-1/pump-7', { kind: 'newest', site: 'plant-1', device: 'pump-7' }],
    ['plant-1/pump-7@2026-01-31T12:00:00Z', { kind: 'at', site: 'plant-1', device: 'pump-7', ts }],
    [`plant-1/pump@7@${ts}`, { kind: 'at', site: 'plant-1', device: 'pump@7', ts }],
    ['plant-1/pump@7', { kind: 'newest', site: 'plant-1', device: 'pump@7' }],
    ['plant-1/pump-7#12', { kind: 'seq', site: 'plant-1', device: 'pump-7', seq: 12 }],
    ['edge-1/0a1b2c3d4e5f:12', { kind: 'spool', edge: 'edge-1/0a1b2c3d4e5f', n: 12 }],
    ['plant-1/pump:12', { kind: 'newest', site: 'plant-1', device: 'pump:12' }],
    ['3:1234', { kind: 'record', partition: 3, offset: 1234n }],
    ['3:1234:7', { kind: 'record', partition: 3, offset: 1234n, line: 7 }],
  ] as const)
    assert.deepEqual(parseTarget(text), target, text);
});

test('anything else is answered with the forms', () => {
  for (const text of ['', 'pump-7', 'a/b/c', 'a/', '/b', 'a/b#x', '12:3', 'a b/c', '3:-1'])
    assert.throws(() => parseTarget(text), /names no reading|Partitions of the readings/, text);
});
