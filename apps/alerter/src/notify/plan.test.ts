import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, type DeliveryState, planDelivery } from './plan.ts';

const silenced = { reason: 'silenced', cause: 's' } as const;

test('a beginning is sent after its wait, or held for a reason', () => {
  assert.deepEqual(planDelivery('firing', { announced: undefined, inhibition: undefined, waitMs: 10 }), {
    ...{ state: 'queued', waitMs: 10 },
  });
  assert.deepEqual(planDelivery('firing', { announced: undefined, inhibition: silenced, waitMs: 10 }), {
    ...{ state: 'held', reason: 'silenced', cause: 's', waitMs: 10 },
  });
});

test('an end is told to those, and only those, who were or will be told of the beginning', () => {
  const states: readonly (DeliveryState | undefined)[] = [
    undefined,
    'queued',
    'held',
    'sent',
    'dropped',
    'failed',
  ];
  fc.assert(
    fc.property(
      fc.constantFrom<Change>('acknowledged', 'resolved'),
      fc.constantFrom(...states),
      fc.option(fc.constant(silenced), { nil: undefined }),
      fc.nat(100_000),
      (change, announced, inhibition, waitMs) => {
        const planned = planDelivery(change, { announced, inhibition, waitMs });
        if (announced === undefined) assert.equal(planned, undefined);
        else if (announced === 'held' || announced === 'dropped')
          assert.deepEqual(planned, { state: 'dropped', reason: 'unannounced', waitMs: 0 });
        else assert.deepEqual(planned, { state: 'queued', waitMs: 0 }, 'silenced or not, and at once');
      },
    ),
  );
});
