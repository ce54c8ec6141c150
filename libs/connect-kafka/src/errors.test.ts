import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeirError } from '@weir/flow';
import { mapError } from './errors.ts';

test('a broker that was not connected in time is an outage; a bug stays what it is', () => {
  const late = mapError('measuring lag', new Error('Broker not connected'));
  assert.ok(late instanceof WeirError);
  assert.equal(late.retry, 'transient');
  const bug = new TypeError('x is not a function');
  assert.equal(mapError('measuring lag', bug), bug);
});
