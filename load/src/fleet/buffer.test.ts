import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DeviceBuffer, type Pending } from './buffer.ts';

const reading = (seq: number): Pending => ({
  seq,
  id: ((seq - 1) % 65_535) + 1,
  topic: Buffer.alloc(0),
  payload: Buffer.alloc(0),
  firstSentAt: 0,
  acked: false,
});

test('a full buffer pushes the oldest reading out', () => {
  const buffer = new DeviceBuffer(3);
  const pushedOut = [1, 2, 3, 4, 5].map((seq) => buffer.push(reading(seq))?.seq);
  assert.deepEqual(pushedOut, [undefined, undefined, undefined, 1, 2]);
  assert.equal(buffer.size, 3);
  assert.equal(buffer.take()?.seq, 3);
});

test('a reading that was pushed out in flight is not acknowledged any more', () => {
  const buffer = new DeviceBuffer(2);
  buffer.push(reading(1));
  buffer.take();
  buffer.push(reading(2));
  buffer.push(reading(3));
  assert.equal(buffer.inFlight, 0);
  assert.equal(buffer.acknowledge(1), undefined);
  assert.equal(buffer.take()?.seq, 2);
});

test('after a lost connection exactly what was not acknowledged comes again, oldest first', () => {
  const buffer = new DeviceBuffer(10);
  for (const seq of [1, 2, 3, 4]) buffer.push(reading(seq));
  for (let i = 0; i < 3; i++) buffer.take();
  assert.equal(buffer.acknowledge(2)?.seq, 2);
  assert.equal(buffer.acknowledge(2), undefined, 'a second acknowledgement counts for nothing');
  buffer.rewind();
  assert.deepEqual([buffer.take()?.seq, buffer.take()?.seq, buffer.take()?.seq], [1, 3, 4]);
  assert.equal(buffer.take(), undefined);
});

test('nothing is lost or doubled whatever the order of pushes, sends, acknowledgements and reconnects', () => {
  const step = fc.oneof(
    fc.constant({ kind: 'push' as const }),
    fc.constant({ kind: 'take' as const }),
    fc.constant({ kind: 'rewind' as const }),
    fc.record({ kind: fc.constant('ack' as const), pick: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 3_000, size: 'max' }), (steps) => {
      const buffer = new DeviceBuffer(8);
      const waiting = new Set<number>();
      let flying: number[] = [];
      let seq = 0;
      for (const action of steps) {
        if (action.kind === 'push') {
          const out = buffer.push(reading(++seq));
          waiting.add(seq);
          if (out !== undefined && !out.acked) waiting.delete(out.seq);
        } else if (action.kind === 'take') {
          const taken = buffer.take();
          if (taken !== undefined) flying.push(taken.seq);
        } else if (action.kind === 'rewind') {
          buffer.rewind();
          flying = [];
        } else if (flying.length > 0) {
          const acked = flying[action.pick % flying.length] as number;
          const known = buffer.acknowledge(acked);
          assert.equal(known !== undefined, waiting.has(acked));
          waiting.delete(acked);
        }
      }
      buffer.rewind();
      const left: number[] = [];
      for (let next = buffer.take(); next !== undefined; next = buffer.take()) left.push(next.seq);
      assert.deepEqual(left, [...waiting]);
    }),
    { numRuns: 100 },
  );
});
