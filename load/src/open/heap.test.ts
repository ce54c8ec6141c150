import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TimeHeap } from './heap.ts';

test('items come out by their times, also after some got another', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20 })), { minLength: 1 }),
      (all) => {
        const heap = new TimeHeap(all.length);
        const left = new Map<number, number>();
        all.forEach(([time], item) => {
          heap.push(time, item);
          left.set(item, time);
        });
        let later = all.length;
        while (heap.size > 0) {
          assert.equal(heap.time, Math.min(...left.values()));
          assert.equal(left.get(heap.item), heap.time);
          const more = all[heap.item]?.[1] ?? 0;
          if (more > 0 && later-- > 0) {
            left.set(heap.item, heap.time + more);
            heap.retime(heap.time + more);
          } else {
            left.delete(heap.item);
            heap.pop();
          }
        }
        assert.equal(left.size, 0);
        assert.equal(heap.time, Number.POSITIVE_INFINITY);
      },
    ),
  );
});
