import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DropHeadBuffer } from './buffer.ts';

test('a buffer keeps the newest, in order, and counts every one it dropped', () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), n: fc.integer({ min: 1, max: 3_000 }) }),
    fc.record({ kind: fc.constant('take' as const), n: fc.integer({ min: 1, max: 2_000 }) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_500 }), fc.array(action, { maxLength: 30 }), (limit, actions) => {
      const buffer = new DropHeadBuffer<number>(limit);
      let model: number[] = [];
      let pushed = 0;
      let lost = 0;
      for (const { kind, n } of actions) {
        if (kind === 'push') {
          for (let i = 0; i < n; i++) {
            buffer.push(pushed);
            model.push(pushed++);
          }
          lost += Math.max(0, model.length - limit);
          model = model.slice(-limit);
        } else {
          assert.deepEqual(buffer.take(n), model.slice(0, n));
          model = model.slice(n);
        }
        assert.equal(buffer.size, model.length);
      }
      assert.equal(buffer.takeDropped(), lost);
      assert.equal(buffer.takeDropped(), 0);
    }),
    { numRuns: 60 },
  );
});
