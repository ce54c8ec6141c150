import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeEnvelope, envelopePrefix } from '@weir/reading';
import { Bits } from '../measure/bits.ts';
import { readBatchLine, readLine } from './read-line.ts';
import { Register, Tally } from './tally.ts';

function device(name: string, sent: readonly number[], acknowledged: readonly number[]) {
  const one = { className: 'c', site: 's-1', name, sent: new Bits(), acknowledged: new Bits() };
  for (const n of sent) one.sent.add(n);
  for (const n of acknowledged) one.acknowledged.add(n);
  return one;
}

test('loss, duplicates, reorder and strangers are told apart', () => {
  const devices = [device('a', [1, 2, 3, 4], [1, 2, 3]), device('b', [1], [])];
  const tally = new Tally(new Register(devices));
  for (const seq of [1, 3, 2, 3, 9]) tally.take(0, seq);
  const { found, lost, duplicates, reordered, foreign } = tally.report(devices, 'publishes', 0, null);
  assert.deepEqual(
    { found, lost, duplicates, reordered, foreign },
    { found: 4, lost: 0, duplicates: 1, reordered: 1, foreign: 1 },
  );
  const empty = new Tally(new Register(devices)).report(devices, 'publishes', 0, null);
  assert.equal(empty.lost, 3);
});

test('each metric of a device counts apart', () => {
  const devices = [device('a', [1, 2], [1, 2])];
  const tally = new Tally(new Register(devices), 2);
  tally.take(0, 1, 0);
  tally.take(0, 1, 1);
  tally.take(0, 2, 1);
  const { found, lost, duplicates } = tally.report(devices, 'values', 0, null, () => 2);
  assert.deepEqual({ found, lost, duplicates }, { found: 3, lost: 1, duplicates: 0 });
});

test('lines are read as the edge writes them, and those of others are left out', () => {
  const register = new Register([device('a', [], []), device('b', [], [])]);
  const line = (site: string, name: string, metric?: string) =>
    encodeEnvelope(
      envelopePrefix({ edge: 'edge-1/x', site, device: name, metric, via: 'mqtt' }),
      { n: 7, at: 1_700_000_000_000, qos: 1, mid: 3 },
      Buffer.from('{"ts":1700000000000,"seq":4711,"value":2}'),
    ).toString();
  const found: [number, number][] = [];
  const take = (id: number, seq: number) => {
    found.push([id, seq]);
  };
  assert.equal(readLine(register, line('s-1', 'b', 'm'), take), true);
  assert.equal(readLine(register, line('s-2', 'b'), take), false);
  assert.equal(readLine(register, line('s-1', 'c'), take), false);
  assert.equal(readLine(register, 'no envelope', take), false);
  assert.deepEqual(found, [[1, 4_711]]);
  const batch = '{"device":"a","ts":1700000000123,"seq":5,"value":1,"unit":"C","at":1700000000200}';
  const read: number[] = [];
  assert.equal(
    readBatchLine(register, 's-1', batch, (...all) => read.push(...all)),
    true,
  );
  assert.deepEqual(read, [0, 5, 1_700_000_000_123]);
  assert.equal(
    readBatchLine(register, 's-9', batch, () => assert.fail()),
    false,
  );
});
